"""The whole graph: which assets exist, what each is built from, when jobs run, and with which resources.

raw.livestreams ──────────┬─> core.livestreams ───────────────┐
raw.livestream_analytics ─┤─> core.livestream_analytics_daily ┤
                          └─> raw.livestream_sessions         │
                                └─> core.livestream_sessions ─┼─> marts.* ─> publish.*
raw.app_analytics ────────┬─> core.meeting_sessions_daily ────┤
                          └─> core.recordings_daily ──────────┤
raw.live_observations ──────> core.live_observations ─────────┘
"""

from functools import partial

import dagster as dg

from pipelines.orchestration.assets.core import CORE
from pipelines.orchestration.assets.live import merge_live_observations, poll_live_observations
from pipelines.orchestration.assets.marts import MARTS
from pipelines.orchestration.assets.publish import PUBLISH
from pipelines.orchestration.assets.raw import RAW
from pipelines.orchestration.checks import CHECKS
from pipelines.orchestration.partitions import starting_on
from pipelines.orchestration.resources import run_context_resource, settings_resource
from pipelines.orchestration.schedules import JOBS, SCHEDULES
from pipelines.orchestration.sensors import SENSORS
from pipelines.settings.settings import Settings, load_settings


def build_definitions(settings: Settings | None = None) -> dg.Definitions:
    """Return the whole graph, for `settings`; without them, each run reads those of its environment."""
    first_day = (settings or load_settings()).start_date
    assets = [*RAW, *CORE, poll_live_observations, merge_live_observations, *MARTS, *PUBLISH]
    return dg.Definitions(
        assets=dg.with_source_code_references(dg.map_asset_specs(partial(starting_on, first_day), assets)),
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={"settings": settings or settings_resource, "run": run_context_resource},
        executor=dg.in_process_executor,  # a step process each would cost ten times what the steps do
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return what Dagster's processes load: the graph with the settings of their environment, read then and not on import."""
    return build_definitions()

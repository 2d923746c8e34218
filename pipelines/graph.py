"""The whole house at a glance: what is made, in which order, when, and with what.

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

from pipelines.assets.core import CORE
from pipelines.assets.extract import RAW
from pipelines.assets.house import house_resource, settings_resource
from pipelines.assets.marts import MARTS
from pipelines.assets.observe import LOOKING, MERGING
from pipelines.assets.partitions import starting_on
from pipelines.assets.publish import PUBLISH
from pipelines.checks import CHECKS
from pipelines.schedules import JOBS, SCHEDULES
from pipelines.sensors import SENSORS
from pipelines.settings import Settings, load_settings


def build_definitions(settings: Settings | None = None) -> dg.Definitions:
    """Return the whole graph, for `settings`; without them, each run reads those of its environment."""
    first_day = (settings or load_settings()).start_date
    assets = [*RAW, *CORE, LOOKING, MERGING, *MARTS, *PUBLISH]
    return dg.Definitions(
        assets=dg.with_source_code_references(dg.map_asset_specs(partial(starting_on, first_day), assets)),
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={"settings": settings or settings_resource, "house": house_resource},
        executor=dg.in_process_executor,  # a step process each would cost ten times what the steps do
    )

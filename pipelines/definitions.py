"""The whole graph: every asset, the assets that it is built from, its checks, jobs, schedules, sensors and resources.

raw.*  ──>  core.*  ──>  marts.*  ──>  publish.warehouse  ──>  publish.report, publish.export (off by default)

`catalog/streams.py` draws which raw table fills which core table. The files in `sql/marts/` say what a mart reads.
"""

from functools import partial

import dagster as dg

from pipelines.orchestration.assets.core import CORE
from pipelines.orchestration.assets.export import export
from pipelines.orchestration.assets.live import merge_live_observations, poll_live_observations
from pipelines.orchestration.assets.marts import marts
from pipelines.orchestration.assets.publish import build_publish
from pipelines.orchestration.assets.raw import RAW
from pipelines.orchestration.checks import CHECKS
from pipelines.orchestration.executor import session_executor
from pipelines.orchestration.partitions import start_partitions_on
from pipelines.orchestration.resources import RunContextResource, SettingsResource
from pipelines.orchestration.schedules import JOBS, SCHEDULES
from pipelines.orchestration.sensors import SENSORS
from pipelines.settings.settings import Settings, load_settings


def build_definitions(settings: Settings | None = None) -> dg.Definitions:
    """Return the whole graph, for `settings`; without them, each run reads the settings of its environment."""
    known = settings or load_settings()
    first_day = known.start_date
    assets = [*RAW, *CORE, poll_live_observations, merge_live_observations, marts, *build_publish(known)]
    if known.export_path:
        assets.append(export)
    run_settings = settings or SettingsResource()
    return dg.Definitions(
        assets=dg.with_source_code_references(dg.map_asset_specs(partial(start_partitions_on, first_day), assets)),
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={
            "settings": run_settings,
            "run": RunContextResource(settings=run_settings),
            "io_manager": dg.mem_io_manager,  # assets return no values; the default one imports fsspec
        },
        executor=session_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the graph with the settings of the environment, which are read when Dagster loads it, not on import."""
    return build_definitions()

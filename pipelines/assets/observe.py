"""The present: an asset that looks (job `observe`, every minute), and one that takes over what was seen (every run)."""

from typing import Any

import dagster as dg

from pipelines.assets.house import ONE_RUN, column_metadata, outcome
from pipelines.errors import HouseBusyError
from pipelines.schema import SQL_TYPES, Table
from pipelines.settings import load_settings
from pipelines.steps.house import House, make_client
from pipelines.steps.observe import merge_observations, observe
from pipelines.tables import LIVE_OBSERVATIONS
from pipelines.tables_live import RAW_LIVE_OBSERVATIONS


def _shown(table: Table) -> dict[str, Any]:
    return {
        "key": dg.AssetKey([table.schema, table.name]),
        "description": table.meaning,
        "group_name": table.schema,
        "kinds": {"python", "duckdb"},
        "owners": ["team:data"],
        "backfill_policy": ONE_RUN,
        "metadata": {"dagster/table_name": table.full_name}
        | column_metadata([(column.name, SQL_TYPES[column.kind], column.meaning) for column in table.columns]),
    }


# Without the house: that would wait for a run, and a run for it.
@dg.asset(**_shown(RAW_LIVE_OBSERVATIONS))
def live_observations() -> dg.MaterializeResult[Any]:
    """One look at what is on air; where a run needs the budget, none."""
    settings = load_settings()
    client = make_client(settings)
    try:
        looks = observe(settings, client)
    except HouseBusyError as busy:
        return dg.MaterializeResult(metadata={"stepped_back": str(busy)})
    finally:
        client.close()
    failed = [f"{look.app_id}: {look.said}" for look in looks if look.failed]
    by_app = {look.app_id: {"on_air": look.on_air, "ended": look.ended, "said": look.said} for look in looks}
    if failed:
        raise dg.Failure("; ".join(failed), metadata={"by_app": by_app}, allow_retries=False)
    rows = sum(look.on_air + look.ended for look in looks)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, "by_app": by_app})


@dg.asset(**_shown(LIVE_OBSERVATIONS), deps=[live_observations])
def core_live_observations(
    context: dg.AssetExecutionContext, house: dg.ResourceParam[House]
) -> dg.MaterializeResult[Any]:
    """Merge what was seen since the last run; asks nothing."""
    return outcome(context, house, merge_observations(house))


LOOKING = live_observations
MERGING = core_live_observations

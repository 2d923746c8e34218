"""The run's house as a Dagster resource, and the days of a run. Keep the work itself in `steps/`."""

from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

from pipelines.settings import load_settings
from pipelines.steps.house import House, Range, open_house

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
FULL, ALLOW_SHRINK = "livehouse/full", "livehouse/allow_shrink"
NIGHTLY = "nightly"
REPORT = dg.AssetKey(["publish", "report"])

ONE_RUN = dg.BackfillPolicy.single_run()
"""A range of days is one run and asks the API once. Every asset needs it, those without partitions too."""

EVERY_MORNING = dg.FreshnessPolicy.cron(
    deadline_cron="0 6 * * *", lower_bound_delta=timedelta(hours=12), timezone="UTC"
)
"""What a nightly run makes is stale at 06:00 UTC if it was not made since 18:00 the day before."""


def range_of(tags: dict[str, str]) -> Range | None:
    """The days a run was started for, by its tags; None for a run of assets without days."""
    first = tags.get(RANGE_START) or tags.get(PARTITION)
    last = tags.get(RANGE_END) or tags.get(PARTITION)
    return (date.fromisoformat(first), date.fromisoformat(last)) if first and last else None


def backfill_of(job_name: str, tags: dict[str, str]) -> Range | None:
    """The days of a run that goes on where an earlier one was cut off; the nightly run asks anew."""
    return None if job_name == NIGHTLY else range_of(tags)


@dg.resource(description="Settings, the API and the warehouse's files, for as long as one run lasts.")
def house_resource(context: dg.InitResourceContext) -> Iterator[House]:
    """Open the house for a run. Settings are read here and never become Dagster configuration: that is shown."""
    run = context.run
    tags = dict(run.tags) if run else {}
    with open_house(
        load_settings(),
        run_id=run.run_id if run else "",
        full=tags.get(FULL) == "true",
        allow_shrink=tags.get(ALLOW_SHRINK) == "true",
        backfill=backfill_of(run.job_name if run else NIGHTLY, tags),
    ) as house:
        yield house


def days_of(context: dg.AssetExecutionContext) -> Range:
    """First and last day of the partitions a run was started for."""
    keys = context.partition_key_range
    return date.fromisoformat(keys.start), date.fromisoformat(keys.end)

"""The last asset: what readers see."""

from typing import Any

import dagster as dg

from pipelines.clock import utc_now
from pipelines.orchestration.asset_metadata import rows_table
from pipelines.orchestration.assets.core import CORE
from pipelines.orchestration.assets.marts import MARTS
from pipelines.orchestration.resources import ONE_RUN, REPORT, find_resumable_range, parse_range, sends_requests
from pipelines.steps.context import RunContext
from pipelines.steps.days import check_clock, describe_catch_up, note_days_still_missing
from pipelines.steps.report import publish_warehouse, write_page
from pipelines.steps.summary import findings, loads_of, summarize
from pipelines.text import printable


@dg.asset(
    key=dg.AssetKey(["publish", "warehouse"]),
    deps=[*CORE, *MARTS],
    description="`warehouse.duckdb`: a finished copy for reading, swapped in whole, also by a run in which an app failed.",
    group_name="publish",
    kinds={"duckdb"},
    owners=["team:data"],
    backfill_policy=ONE_RUN,
)
def warehouse(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """Publish what stands."""
    if (days := parse_range(dict(context.run.tags))) and sends_requests(context.run):
        check_clock(run, days)
    note_days_still_missing(run)
    size = publish_warehouse(run, find_resumable_range(context.run.job_name, dict(context.run.tags)))
    return dg.MaterializeResult(metadata={"path": dg.MetadataValue.path(run.warehouse.address), "bytes": size})


@dg.asset(
    key=REPORT,
    deps=[warehouse],
    description="`report.html`: usage, audience, failures, cost, and how far the figures can be trusted. Being the last "
    "step of a run, it also tells what the run did, what it cost and what was odd, and fails if an app did: what the "
    "other apps brought is published by then.",
    group_name="publish",
    kinds={"altair"},
    owners=["team:data"],
    backfill_policy=ONE_RUN,
)
def report(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """Write the page people look at, then say whether anything is missing."""
    told = _told(context, run)  # before the page: that is written with the warehouse closed
    path = write_page(run)
    if run.failures:
        raise dg.Failure("; ".join(run.failure_lines()), metadata=told, allow_retries=False)
    return dg.MaterializeResult(metadata=told | {"path": dg.MetadataValue.path(path), "bytes": path.stat().st_size})


def _told(context: dg.AssetExecutionContext, run: RunContext) -> dict[str, Any]:
    """What the run did, what it cost, what is odd: told at the end of its log, where the run's page opens, and as tags."""
    with run.warehouse.open_working() as connection:
        loads, summary = loads_of(connection, run.run_id), summarize(connection, run.run_id)
    requests, retries = (sum(load[name] for load in loads) for name in ("requests", "retries"))
    landed = {name: sum(app[name] or 0 for app in summary["apps"]) for name in ("livestreams", "sessions")}
    apps = sum(app["sessions"] is not None for app in summary["apps"])
    odd = findings(run, summary)
    tags = {
        "livehouse/requests": f"{requests:,} ({retries:,} sent again)",
        "livehouse/odd": f"{len(odd) or 'no'} findings",
    }
    context.instance.add_run_tags(context.run.run_id, tags)
    for line in odd:
        context.log.warning(printable(line))  # it goes to a terminal and to compute logs
    days = parse_range(dict(context.run.tags))
    # Short lines first: the run's page cuts a long event.
    return {
        "what_it_did": f"{f'{days[0]} to {days[1]}: ' if days else ''}{landed['sessions']:,} sessions and "
        f"{landed['livestreams']:,} livestreams of {apps} apps stand",
        "what_it_cost": f"{requests:,} requests, {retries:,} of them sent again; "
        f"{(utc_now() - run.started_at).total_seconds():,.1f} s",
        **({"caught_up": caught_up} if (caught_up := describe_catch_up(run)) else {}),
        "what_is_odd": f"{len(odd)} findings: {odd[0]} …" if odd else "nothing",
        "api_requests": requests,
        "api_retries": retries,
        "findings": rows_table(["finding"], [[line] for line in odd]),
        "loads": rows_table(list(loads[0]) if loads else [], [list(load.values()) for load in loads]),
    }


PUBLISH = [warehouse, report]

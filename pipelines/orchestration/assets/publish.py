"""The last assets of a run: the readers' copy of the warehouse, and the report."""

from typing import Any

import dagster as dg

from pipelines.alerts.rules import RULES_CHECK, load_rules
from pipelines.clock import utc_now
from pipelines.marts.checks import MAX_ROWS_SHOWN
from pipelines.orchestration.asset_metadata import to_table
from pipelines.orchestration.assets.core import CORE
from pipelines.orchestration.assets.marts import marts
from pipelines.orchestration.resources import (
    NIGHTLY,
    ONE_RUN,
    REPORT,
    find_resumable_range,
    parse_range,
    sends_requests,
)
from pipelines.settings.settings import Settings
from pipelines.steps.alerts import AlertState, update_alerts
from pipelines.steps.context import RunContext
from pipelines.steps.days import check_clock, describe_catch_up, note_days_still_missing
from pipelines.steps.digest import post_digest
from pipelines.steps.report import publish_warehouse, write_page
from pipelines.steps.summary import TABLES_OF_SUMMARY, findings, loads_of, summarize
from pipelines.telemetry.logs import log
from pipelines.text import printable

_READ_BY_MARTS = {dep.asset_key for spec in marts.specs for dep in spec.deps}


WAREHOUSE = dg.AssetKey(["publish", "warehouse"])


def build_publish(settings: Settings) -> list[dg.AssetsDefinition]:
    """Return both assets. The checks of the first are the alert rules of the settings."""
    rules = load_rules(settings.alert_rules)
    specs = [
        dg.AssetCheckSpec(rule.name, asset=WAREHOUSE, description=f"Warns while an incident is open. {rule.why}")
        for rule in rules.rules
    ]
    about_rules = "Warns if an alert rule could not be evaluated, or the webhook did not accept a message."
    specs.append(dg.AssetCheckSpec(RULES_CHECK, asset=WAREHOUSE, description=about_rules))

    @dg.asset(
        key=WAREHOUSE,
        deps=[
            *(table for table in CORE if table.key not in _READ_BY_MARTS),
            marts,
        ],  # each edge once: the graph stays readable
        description="`warehouse.duckdb`: a finished copy for readers, replaced atomically, also by a run in which an app failed."
        " Before that, alert rules are evaluated, and incidents that opened or closed are posted.",
        group_name="publish",
        kinds={"duckdb"},
        owners=["team:data"],
        backfill_policy=ONE_RUN,
        check_specs=specs,
    )
    def warehouse(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with checks, Dagster takes only the plain class
        """Evaluate the alert rules, and publish the working copy."""
        if (days := parse_range(dict(context.run.tags))) and sends_requests(context.run):
            check_clock(run, days)
        note_days_still_missing(run)
        alerts = update_alerts(run)
        size = publish_warehouse(run, find_resumable_range(context.run.job_name, dict(context.run.tags)))
        return dg.MaterializeResult(
            metadata={"path": dg.MetadataValue.path(run.warehouse.address), "bytes": size},
            check_results=[_check_rule(spec.name, alerts) for spec in specs],
        )

    return [warehouse, report]


def _check_rule(name: str, alerts: AlertState) -> dg.AssetCheckResult:
    """Return the result of the check of a rule, or of all rules together."""
    lines = (
        [*alerts.rule_faults, *alerts.post_faults]
        if name == RULES_CHECK
        else [one.text for one in alerts.open_incidents if one.rule == name]
    )
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return dg.AssetCheckResult(
        check_name=name,
        passed=not lines,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"`{name}`: {lines[0]}{more}" if lines else None,
        metadata={"incidents": to_table(["incident"], [[line] for line in lines[:MAX_ROWS_SHOWN]])} if lines else {},
    )


@dg.asset(
    key=REPORT,
    deps=[WAREHOUSE],
    description="`report.html`: usage, audience, failures, cost, and how complete the figures are. As the last step "
    "of a run, it also reports the loads, requests and findings of the run, and fails if an app failed: the data of the "
    "other apps is published by then.",
    group_name="publish",
    kinds={"altair"},
    owners=["team:data"],
    backfill_policy=ONE_RUN,
)
def report(context: dg.AssetExecutionContext, run: dg.ResourceParam[RunContext]) -> dg.MaterializeResult[Any]:
    """Write the report, and fail if an app failed."""
    found, metadata = _summarize_run(context, run)  # before the page, which is written with the warehouse closed
    path = write_page(run)
    if run.failures:
        raise dg.Failure("; ".join(run.failure_lines()), metadata=metadata, allow_retries=False)
    days = parse_range(dict(context.run.tags))
    if context.run.job_name == NIGHTLY and days and (fault := post_digest(run, days[1], found)):
        log(f"livehouse: {fault}", "warning")
    return dg.MaterializeResult(metadata=metadata | {"path": dg.MetadataValue.path(path), "bytes": path.stat().st_size})


def _summarize_run(context: dg.AssetExecutionContext, run: RunContext) -> tuple[list[str], dict[str, Any]]:
    """Return the findings of the run, and metadata on its loads, requests and findings; also log them and add tags to the run."""
    with run.warehouse.snapshot(TABLES_OF_SUMMARY), run.warehouse.open_working() as connection:
        loads, summary = loads_of(connection, run.run_id), summarize(connection, run.run_id)
    requests, retries = (sum(load[name] for load in loads) for name in ("requests", "retries"))
    landed = {name: sum(app[name] or 0 for app in summary["apps"]) for name in ("livestreams", "sessions")}
    apps = sum(app["sessions"] is not None for app in summary["apps"])
    found = findings(run, summary)
    tags = {
        "livehouse/requests": f"{requests:,} ({retries:,} retries)",
        "livehouse/findings": f"{len(found) or 'no'}",
    }
    context.instance.add_run_tags(context.run.run_id, tags)
    for line in found:
        context.log.warning(printable(line))  # it goes to a terminal and to compute logs
    days = parse_range(dict(context.run.tags))
    # Short lines first: the run's page cuts a long event.
    return found, {
        "loaded": f"{f'{days[0]} to {days[1]}: ' if days else ''}{landed['sessions']:,} sessions and "
        f"{landed['livestreams']:,} livestreams of {apps} apps are loaded",
        "cost": f"{requests:,} requests, {retries:,} of them retries; "
        f"{(utc_now() - run.started_at).total_seconds():,.1f} s",
        **({"caught_up": caught_up} if (caught_up := describe_catch_up(run)) else {}),
        "warnings": f"{len(found)} findings: {found[0]} …" if found else "none",
        "api_requests": requests,
        "api_retries": retries,
        "findings": to_table(["finding"], [[line] for line in found]),
        "loads": to_table(list(loads[0]) if loads else [], [list(load.values()) for load in loads]),
    }

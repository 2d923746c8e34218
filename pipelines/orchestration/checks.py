"""Asset checks: one for each check of `sql/checks/` and table.

The head of each file declares its severity. Blocking checks find wrong figures: a duplicate key, a day whose number of
rows differs from ops.days, records lost in a load. Other checks warn: the figures are those of the source, but a person
should check them.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.marts.checks import Check, CheckResult, find_checks
from pipelines.orchestration.asset_metadata import to_table
from pipelines.steps.context import RunContext
from pipelines.steps.report import run_checks

_SHOWN_AT = {"ops.loads": "core.livestream_sessions", "ops.incidents": "core.livestream_sessions"}
"""Tables of the pipeline itself are not assets: their checks belong to the asset that they cover."""


def _asset_key(check: Check) -> dg.AssetKey:
    return dg.AssetKey(_SHOWN_AT.get(check.table, check.table).split("."))


def _spec(check: Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.rule, asset=_asset_key(check), description=check.description, blocking=check.is_blocking
    )


def _result(check: Check, result: CheckResult) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"offending_rows": result.row_count}
    if result.rows:
        metadata["rows"] = to_table(result.columns, result.rows)
    return dg.AssetCheckResult(
        passed=result.passed,
        asset_key=_asset_key(check),
        check_name=check.rule,
        severity=dg.AssetCheckSeverity.ERROR if check.is_blocking else dg.AssetCheckSeverity.WARN,
        description=None if result.passed else f"{result.summarize(check.rule)}: {check.description}",
        metadata=metadata,
    )


def _group_checks(name: str, checks: list[Check]) -> dg.AssetChecksDefinition:
    """Run checks in one step: a step per check would take longer than the checks."""

    @dg.multi_asset_check(name=name, specs=[_spec(check) for check in checks], can_subset=True)
    def run_group(
        context: dg.AssetCheckExecutionContext, run: dg.ResourceParam[RunContext]
    ) -> Iterator[dg.AssetCheckResult]:
        selected = context.selected_asset_check_keys
        wanted = [check for check in checks if dg.AssetCheckKey(_asset_key(check), check.rule) in selected]
        for check, result in run_checks(run, wanted):
            yield _result(check, result)

    return run_group


_ALL = find_checks()
CHECKS = [
    _group_checks("facts_hold", [check for check in _ALL if not check.table.startswith("marts.")]),
    _group_checks("marts_hold", [check for check in _ALL if check.table.startswith("marts.")]),
]

"""What must hold. The rules are the files in `sql/checks/`; here they meet the assets they judge.

Which ones block publishing is said in each file's head: a key that is there twice, a day that does not hold
the rows its ledger counts, records that vanished on the way. Those figures would be wrong. Everything else
warns: the figures are what the source says, and somebody should look.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pipelines.marts.checks import Check, CheckResult, find_checks
from pipelines.orchestration.asset_metadata import rows_table
from pipelines.steps.context import RunContext
from pipelines.steps.report import run_checks

_JUDGES = {"ops.loads": "core.livestream_sessions"}
"""The pipeline's own tables are no assets: their checks are shown at the asset whose figures they vouch for."""


def _asset_key(check: Check) -> dg.AssetKey:
    return dg.AssetKey(_JUDGES.get(check.table, check.table).split("."))


def _spec(check: Check) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        check.rule, asset=_asset_key(check), description=check.description, blocking=check.is_blocking
    )


def _result(check: Check, result: CheckResult) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"offending_rows": result.row_count}
    if result.rows:
        metadata["rows"] = rows_table(result.columns, result.rows)
    return dg.AssetCheckResult(
        passed=result.passed,
        asset_key=_asset_key(check),
        check_name=check.rule,
        severity=dg.AssetCheckSeverity.ERROR if check.is_blocking else dg.AssetCheckSeverity.WARN,
        description=None if result.passed else f"{result.summarize(check.rule)}: {check.description}",
        metadata=metadata,
    )


def _together(name: str, checks: list[Check]) -> dg.AssetChecksDefinition:
    """Checks that can run at the same moment are one step: a step each would cost more than the checks."""

    @dg.multi_asset_check(name=name, specs=[_spec(check) for check in checks], can_subset=True)
    def judged(
        context: dg.AssetCheckExecutionContext, run: dg.ResourceParam[RunContext]
    ) -> Iterator[dg.AssetCheckResult]:
        chosen = context.selected_asset_check_keys
        asked = [check for check in checks if dg.AssetCheckKey(_asset_key(check), check.rule) in chosen]
        for check, result in run_checks(run, asked):
            yield _result(check, result)

    return judged


_ALL = find_checks()
CHECKS = [
    _together("facts_hold", [check for check in _ALL if not check.table.startswith("marts.")]),
    _together("marts_hold", [check for check in _ALL if check.table.startswith("marts.")]),
]

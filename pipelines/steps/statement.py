"""Close a month: a run that loads nothing, and publishes the figures that it keeps."""

from datetime import date
from functools import partial

from pipelines.catalog.cost import STATEMENTS
from pipelines.clock import today, utc_now
from pipelines.errors import UsageError, WarehouseError
from pipelines.marts.build import find_marts
from pipelines.marts.checks import find_checks, run_check
from pipelines.settings.settings import Settings
from pipelines.statement.close import close_month
from pipelines.statement.figures import last_day_of
from pipelines.statement.read import By, Statement, read_statement
from pipelines.steps.context import RunContext, open_run
from pipelines.steps.report import publish_warehouse, refresh_marts
from pipelines.storage.warehouse import EVERY_APP


def close_statement(settings: Settings, month: date, by: By, *, allow_incomplete: bool) -> tuple[Statement, int | None]:
    """Keep the statement of a month, publish it, and return it with its number.

    The number is None if nothing differs from the last closed statement, which is then not repeated. The marts are brought up to
    date first and the blocking checks must pass, as in every run: a killed run may have left what no run has published.
    Rates, allowances and customers stay those of the last run: the machine of the person who closes a month may have none.

    Raises:
        UsageError: nothing of the month is loaded, or it is not over or incomplete, and `allow_incomplete` is false.
        WarehouseError: a check fails.

    """
    last_day = last_day_of(month)
    if not allow_incomplete and today() <= last_day:
        raise UsageError(f"{month:%Y-%m} is not over: close it after {last_day}, or add --allow-incomplete")
    with open_run(
        settings,
        run_id=f"statement {month:%Y-%m}",
        full=False,
        allow_shrink=False,
        backfill=None,
        applies_terms=False,
    ) as run:
        refresh_marts(run, find_marts())
        _require_checks(run)
        statement = run.warehouse.read(partial(read_statement, month=month, by=by))
        if not statement.is_complete and not allow_incomplete:
            raise UsageError(
                f"{month:%Y-%m} is incomplete, so its figures can still change: `livehouse statement {month:%Y-%m}` says what is"
                " missing; load that, or add --allow-incomplete"
            )
        number = None
        if _differs(run, statement):
            with run.warehouse.lock_table(STATEMENTS.full_name, EVERY_APP):
                number = run.warehouse.write(partial(close_month, month=month, closed_at=utc_now()))
        publish_warehouse(run, None)
    return statement, number


def _differs(run: RunContext, statement: Statement) -> bool:
    """Whether a figure of any app or customer differs from the last closed statement, or there is none."""
    if statement.closed is None or statement.changes or statement.is_complete != statement.closed.is_complete:
        return True
    other: By = "customer" if statement.by == "app" else "app"
    return bool(run.warehouse.read(partial(read_statement, month=statement.month, by=other)).changes)


def _require_checks(run: RunContext) -> None:
    run.warehouse.mirror()
    for check in find_checks():
        if check.is_blocking:
            result = run.warehouse.read(partial(run_check, check=check))
            if not result.passed:
                raise WarehouseError(
                    f"not closed, because figures would be wrong: {check.table}: {result.summarize(check.rule)};"
                    " `livehouse rebuild DAY DAY` rebuilds days from raw"
                )

"""Evaluate the alert rules of a run or of `livehouse alerts`, and post what opened and closed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import duckdb

from pipelines.alerts.evaluation import check_rule
from pipelines.alerts.incidents import Incident
from pipelines.alerts.messages import build_message, list_notices
from pipelines.alerts.refresh import build_scope, find_changes, start_of_recent
from pipelines.alerts.rules import RuleSet, load_rules
from pipelines.alerts.store import note_posted, read_incidents, write_incidents
from pipelines.alerts.webhook import post_message
from pipelines.catalog.alerts import INCIDENTS
from pipelines.clock import utc_now
from pipelines.errors import LivehouseError, QueryError, WarehouseError
from pipelines.settings.settings import Settings
from pipelines.steps.context import RunContext
from pipelines.storage.warehouse import EVERY_APP, Warehouse, open_warehouse


@dataclass(frozen=True)
class AlertState:
    """The incidents of the last days after an evaluation, and one line for each fault."""

    incidents: list[Incident]
    rule_faults: list[str]
    """Rules that could not be read or evaluated."""
    post_faults: list[str]
    """Why the webhook did not accept the message."""

    @property
    def open_incidents(self) -> list[Incident]:
        """The incidents that are open."""
        return [incident for incident in self.incidents if incident.closed_at is None]


def update_alerts(run: RunContext) -> AlertState:
    """Evaluate the rules on the working tables of a run, once its marts are built, and post what opened and closed.

    A fault of a rule, of ops.incidents, or a webhook that does not accept the message, is a warning: the night does not fail
    because of it. A run of a split night evaluates every app: rules about the account need all of them.
    """
    apps = (*run.settings.app_ids, *run.other_apps)
    try:
        run.loads.write()
        with run.warehouse.lock_table(INCIDENTS.full_name, EVERY_APP), run.warehouse.open_working() as connection:
            state = _refresh(run.settings, run.warehouse, connection, apps)
    except (LivehouseError, duckdb.Error) as error:
        state = AlertState([], [f"alert rules were not evaluated: {' '.join(str(error).split())}"], [])
    run.warnings += [*state.rule_faults, *state.post_faults]
    return state


def update_alerts_between_runs(settings: Settings, *, wait_seconds: float, log: Callable[[str], None]) -> AlertState:
    """Evaluate the rules on the published tables: also when no run has worked for days.

    Incidents are written to the working tables, which the next run publishes: these may be in the middle of a failed load now.
    Raises `AlreadyRunningError` if a run is in progress after `wait_seconds`, `WarehouseError` if nothing is published.
    """
    warehouse = open_warehouse(settings)
    if not warehouse.exists():
        raise WarehouseError(
            "no rule can be evaluated, because nothing has been published yet: run `livehouse nightly`"
        )
    warehouse.prepare()
    with (
        warehouse.run(wait_seconds=wait_seconds, log=log),
        warehouse.lock_table(INCIDENTS.full_name, EVERY_APP),
        warehouse.open_published() as connection,
    ):
        return _refresh(settings, warehouse, connection, settings.app_ids or _list_apps(connection))


def check_rules(settings: Settings, warehouse: Warehouse) -> tuple[RuleSet, list[str]]:
    """Return the rules, and one line for each fault: of the file, and of queries that the published tables refuse."""
    rules = load_rules(settings.alert_rules)
    faults = list(rules.faults)
    if warehouse.exists():
        with warehouse.open_published() as connection:
            scope = build_scope(rules, settings.app_ids, [], utc_now())
            for rule in rules.rules:
                try:
                    check_rule(connection, rule, scope)
                except QueryError as error:
                    faults.append(rules.describe_fault(rule, error))
    return rules, faults


def _refresh(
    settings: Settings, warehouse: Warehouse, connection: duckdb.DuckDBPyConnection, apps: Sequence[str]
) -> AlertState:
    """Evaluate the rules on `connection`, write the incidents that changed to the working tables, and post them.

    If the process is killed between posting and noting that, the next evaluation posts the message again, with the same ids.
    """
    now = utc_now()
    rules = load_rules(settings.alert_rules)
    read = partial(read_incidents, closed_since=start_of_recent(rules, now))
    incidents = warehouse.read(read)
    changes = find_changes(connection, rules, incidents, apps=apps, now=now)
    if changes.incidents:
        warehouse.write(partial(write_incidents, incidents=changes.incidents))
        incidents = warehouse.read(read)
    writes = warehouse.writes
    post_faults = _post_notices(settings, warehouse, rules, incidents, now)
    return AlertState(incidents if warehouse.writes == writes else warehouse.read(read), changes.faults, post_faults)


def _post_notices(
    settings: Settings, warehouse: Warehouse, rules: RuleSet, incidents: Sequence[Incident], now: datetime
) -> list[str]:
    """Post what was not posted yet, and note it. Return one line if the webhook did not accept it."""
    notices = list_notices(incidents, start_of_recent(rules, now))
    if not notices or settings.alert_webhook is None:
        return []
    if fault := post_message(settings, build_message(notices, {rule.name: rule for rule in rules.rules})):
        return [f"{fault}; the next evaluation posts the message about incidents again"]
    opened = [notice.incident.incident_id for notice in notices if notice.is_new]
    closed = [notice.incident.incident_id for notice in notices if notice.is_closed]
    warehouse.write(partial(note_posted, opened=opened, closed=closed, now=now))
    return []


def _list_apps(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [
        app_id for (app_id,) in connection.execute("SELECT DISTINCT app_id FROM ops.days ORDER BY app_id").fetchall()
    ]

"""Evaluate the alert rules of a run or of `livehouse alerts`, and post what opened and closed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import duckdb

from pipelines.alerts.incidents import Incident
from pipelines.alerts.messages import build_message, list_notices
from pipelines.alerts.refresh import find_changes, start_of_recent
from pipelines.alerts.rules import RuleSet, load_rules
from pipelines.alerts.store import note_posted, read_incidents, write_incidents
from pipelines.alerts.webhook import post_message
from pipelines.catalog.alerts import INCIDENTS
from pipelines.clock import utc_now
from pipelines.settings.settings import Settings
from pipelines.steps.context import RunContext
from pipelines.storage.warehouse import Warehouse


@dataclass(frozen=True)
class AlertState:
    """The rules, the incidents of the last days after an evaluation, and one line for each fault."""

    rules: RuleSet
    incidents: list[Incident]
    faults: list[str]

    @property
    def open_incidents(self) -> list[Incident]:
        """The incidents that are open."""
        return [incident for incident in self.incidents if incident.closed_at is None]


def update_alerts(run: RunContext) -> AlertState:
    """Evaluate the rules on the working tables of a run, once its marts are built, and post what opened and closed.

    A fault of a rule, or a webhook that does not accept the message, is a warning: the night does not fail because of it.
    """
    with run.warehouse.lock_table(INCIDENTS.full_name, "every app"), run.warehouse.open_working() as connection:
        state = refresh_incidents(run.settings, run.warehouse, connection, utc_now())
    run.warnings += state.faults
    return state


def refresh_incidents(
    settings: Settings, warehouse: Warehouse, connection: duckdb.DuckDBPyConnection, now: datetime
) -> AlertState:
    """Evaluate the rules on `connection`, write the incidents that changed to the working tables, and post them.

    If the process is killed between posting and noting that, the next evaluation posts the message again, with the same ids.
    """
    rules = load_rules(settings.alert_rules)
    recent = start_of_recent(rules, now)
    read = partial(read_incidents, closed_since=recent)
    changes = find_changes(
        connection, rules, warehouse.read(read), apps=settings.app_ids or _list_apps(connection), now=now
    )
    if changes.incidents:
        warehouse.write(partial(write_incidents, incidents=changes.incidents))
    fault = _post_notices(settings, warehouse, rules, warehouse.read(read), now)
    return AlertState(rules, warehouse.read(read), [*changes.faults, *([fault] if fault else [])])


def _post_notices(
    settings: Settings, warehouse: Warehouse, rules: RuleSet, incidents: Sequence[Incident], now: datetime
) -> str | None:
    """Post what was not posted yet, and note it. Return one line if the webhook did not accept it."""
    notices = list_notices(incidents, start_of_recent(rules, now))
    if not notices or settings.alert_webhook is None:
        return None
    if fault := post_message(settings, build_message(notices, {rule.name: rule for rule in rules.rules})):
        return f"{fault}; the next run posts {len(notices)} incidents again"
    opened = [notice.incident.incident_id for notice in notices if notice.is_new]
    closed = [notice.incident.incident_id for notice in notices if notice.is_closed]
    warehouse.write(partial(note_posted, opened=opened, closed=closed, now=now))
    return None


def _list_apps(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [
        app_id for (app_id,) in connection.execute("SELECT DISTINCT app_id FROM ops.days ORDER BY app_id").fetchall()
    ]

"""Find which incidents open, change and close: all rules, over the days that matter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb

from pipelines.alerts.evaluation import Scope, evaluate_rule
from pipelines.alerts.incidents import APP_REMOVED, RULE_REMOVED, Incident, close_incidents, update_incidents
from pipelines.alerts.rules import RuleSet
from pipelines.errors import QueryError

_OLDEST_DAYS = 400
"""Days of an open incident that are older than this are not evaluated again."""


@dataclass
class Changes:
    """Incidents to write, and one line for each rule that could not be evaluated."""

    incidents: list[Incident] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def start_of_recent(rules: RuleSet, now: datetime) -> datetime:
    """Return the beginning of the first day that may open an incident."""
    return datetime.combine(now.date() - timedelta(days=rules.recent_days), datetime.min.time())


def build_scope(rules: RuleSet, apps: Sequence[str], known: Sequence[Incident], now: datetime) -> Scope:
    """Return the apps and days to evaluate: recent days, and those of open incidents, whose figures may be corrected."""
    recent = start_of_recent(rules, now).date()
    days = [incident.first_day for incident in known if incident.closed_at is None and incident.first_day]
    first = max(min([recent, *days]), now.date() - timedelta(days=_OLDEST_DAYS))
    return Scope(apps=apps, first=first, recent=recent, now=now)


def find_changes(
    connection: duckdb.DuckDBPyConnection,
    rules: RuleSet,
    known: Sequence[Incident],
    *,
    apps: Sequence[str],
    now: datetime,
) -> Changes:
    """Evaluate all rules on an open warehouse, and compare the result with the known incidents."""
    changes = Changes(faults=list(rules.faults))
    if not rules.is_readable:
        return changes
    scope = build_scope(rules, apps, known, now)
    for rule in rules.rules:
        mine = [incident for incident in known if incident.rule == rule.name]
        open_keys = {
            incident.key for incident in mine if incident.closed_at is None and incident.app_id in {None, *apps}
        }
        try:
            readings = evaluate_rule(connection, rule, scope, open_keys)
        except QueryError as error:
            changes.faults.append(rules.describe_fault(rule, error))
            continue
        changes.incidents += update_incidents(mine, rule, readings, recent=scope.recent, now=now)
    still_open = [incident for incident in known if incident.closed_at is None]
    removed = [incident for incident in still_open if incident.rule not in rules.names]
    changes.incidents += close_incidents(removed, RULE_REMOVED, now)
    of_others = [one for one in still_open if one.rule in rules.names and one.app_id not in {None, *apps}]
    if of_others:
        loaded = _list_recently_loaded_apps(connection, scope)
        changes.incidents += close_incidents([one for one in of_others if one.app_id not in loaded], APP_REMOVED, now)
    return changes


def _list_recently_loaded_apps(connection: duckdb.DuckDBPyConnection, scope: Scope) -> set[str]:
    """Return the apps that a run, possibly of another machine, has loaded on a recent day."""
    query = "SELECT DISTINCT app_id FROM ops.days WHERE loaded_at >= ?"
    return {app_id for (app_id,) in connection.execute(query, [scope.recent]).fetchall()}

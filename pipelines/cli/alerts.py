"""`alerts`: evaluate the alert rules now, check them, or test the webhook."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pipelines.alerts.incidents import Incident

_MALFORMED = 2

_COLUMNS = ("state", "name", "rule", "app_id", "scope", "first_day", "last_day", "metric", "sql", "text", "why")
"""Columns of the table, of incidents and of rules."""


@click.command("alerts")
@click.option(
    "--check", "is_check", is_flag=True, help="Only check the rules, and list them; changes and posts nothing."
)
@click.option("--test", "is_test", is_flag=True, help="Only post a test message to the webhook.")
@click.option(
    "--format", "style", type=click.Choice(["table", "json"]), default="table", help="The form of the output."
)
def alerts_command(*, is_check: bool, is_test: bool, style: str) -> int:
    """Evaluate the alert rules on the published figures, post incidents that opened or closed, and list them.

    For cron, beside the nightly run: it also notices that no run has loaded a day lately. Lists open incidents and those
    closed in the last days. Exit status: 0 no incident is open, 1 one is, or a message was not accepted, 2 a rule or a
    setting is malformed.
    """
    if is_check and is_test:
        raise click.UsageError("give --check or --test, not both")
    if is_test:
        return _post_test()
    return _list_rules(style) if is_check else _evaluate(style)


def _evaluate(style: str) -> int:
    from pipelines.settings.settings import load_settings
    from pipelines.steps.alerts import update_alerts_between_runs
    from pipelines.telemetry.logs import log

    settings = load_settings()
    state = update_alerts_between_runs(settings, wait_seconds=settings.lock_wait_seconds, log=log)
    newest_first = sorted(state.incidents, key=lambda incident: incident.opened_at, reverse=True)
    _print(style, [_describe(one) for one in sorted(newest_first, key=lambda one: one.closed_at is not None)])
    for line in (*state.rule_faults, *state.post_faults):
        log(f"livehouse: {line}", "warning")
    if state.rule_faults:
        return _MALFORMED
    return 1 if state.open_incidents or state.post_faults else 0


def _describe(incident: "Incident") -> dict[str, Any]:
    row = {"state": incident.closing or "open", **asdict(incident)}
    del row["closing"]
    return row


def _list_rules(style: str) -> int:
    from pipelines.cli.published import find_published
    from pipelines.settings.reader_settings import load_reader_settings
    from pipelines.steps.alerts import check_rules
    from pipelines.telemetry.logs import log

    settings = load_reader_settings()
    warehouse, _ = find_published(settings)
    rules, faults = check_rules(settings, warehouse)
    _print(
        style, [rule.model_dump(exclude_none=True, include={"name", "metric", "sql", "why"}) for rule in rules.rules]
    )
    for line in faults:
        log(f"livehouse: {line}", "warning")
    return _MALFORMED if faults else 0


def _post_test() -> int:
    from pipelines.alerts.webhook import Message, post_message
    from pipelines.clock import utc_now
    from pipelines.errors import LivehouseError, SettingsError
    from pipelines.settings.settings import load_settings

    settings = load_settings()
    if settings.alert_webhook is None:
        raise SettingsError("LIVEHOUSE_ALERT_WEBHOOK is not set: there is nowhere to post a test message")
    text = "livehouse: this is a test message: failed runs and incidents will be posted here"
    if fault := post_message(settings, Message("test", f"test-{utc_now():%Y%m%dT%H%M%S}", text)):
        raise LivehouseError(fault)
    click.echo("LIVEHOUSE_ALERT_WEBHOOK accepted the test message")
    return 0


def _print(style: str, rows: Sequence[dict[str, Any]]) -> None:
    from pipelines.text import printable_json

    if style == "json":
        click.echo(printable_json(json.dumps(rows, ensure_ascii=False, indent=1, default=str)))
    elif rows:
        from pipelines.cli.table import show_table

        names = [name for name in _COLUMNS if any(row.get(name) is not None for row in rows)]
        show_table(names, (tuple(row.get(name) for name in names) for row in rows))

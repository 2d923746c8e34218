"""Messages to the webhook: signed JSON, Slack's limits, and nothing that mentions people or links anywhere."""

import json
import time
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.alerts.incidents import Incident
from pipelines.alerts.messages import build_message, list_notices
from pipelines.alerts.rules import load_rules
from pipelines.alerts.webhook import Message, post_message
from pipelines.settings.settings import Settings
from tests.webhook_receiver import Receiver

SECRET = "a-secret-of-some-length"
NOW = datetime(2026, 6, 17, 3)
RULES = {rule.name: rule for rule in load_rules(None).rules}


def settings_of(tmp_path: Path, receiver: Receiver, **given: str) -> Settings:
    variables = {"LIVEHOUSE_HOME": str(tmp_path), "LIVEHOUSE_ALERT_WEBHOOK": receiver.address, **given}
    return Settings(**variables)  # type: ignore[arg-type]  # read by alias


def incident(number: int = 1, **given: Any) -> Incident:
    usual: dict[str, Any] = {
        "incident_id": f"{number:012}",
        "rule": "error_rate",
        "app_id": "aula",
        "scope": None,
        "first_day": date(2026, 6, 16),
        "last_day": date(2026, 6, 16),
        "opened_at": NOW,
        "closed_at": None,
        "closing": None,
        "first_value": 0.25,
        "last_value": 0.25,
        "threshold": 0.05,
        "open_posted_at": None,
        "close_posted_at": None,
        "text": "error rate 25 % (above 5 %)",
    }
    return Incident(**usual | given)


def message_of(*incidents: Incident) -> Message:
    return build_message(list_notices(incidents, NOW), RULES)


def test_json_is_signed_over_the_timestamp_and_the_body(receiver: Receiver, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, receiver, LIVEHOUSE_ALERT_FORMAT="json", LIVEHOUSE_ALERT_SECRET=SECRET)
    assert post_message(settings, message_of(incident())) is None
    assert receiver.verify_signatures(SECRET, now=time.time())
    assert not receiver.verify_signatures(SECRET + "x", now=time.time())
    assert not receiver.verify_signatures(SECRET, now=time.time() + 400)
    [(_, body)] = receiver.posted
    assert (body["type"], body["id"]) == ("incidents", message_of(incident()).id)
    [entry] = body["incidents"]
    assert (entry["event"], entry["rule"], entry["value"], entry["opened_at"]) == (
        "opened",
        "error_rate",
        0.25,
        "2026-06-17T03:00:00Z",
    )
    [(headers, sent)] = receiver.requests
    assert SECRET not in f"{headers}{sent!r}"


@pytest.mark.long
def test_slack_gets_text_only_and_each_attempt_is_signed_again(receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses = [500]
    settings = settings_of(tmp_path, receiver, LIVEHOUSE_ALERT_SECRET=SECRET)
    assert post_message(settings, message_of(incident())) is None
    assert [set(body) for _, body in receiver.posted] == [{"text"}] * 2
    assert receiver.verify_signatures(SECRET, now=time.time())


def test_without_a_secret_nothing_is_signed(receiver: Receiver, tmp_path: Path) -> None:
    post_message(settings_of(tmp_path, receiver), message_of(incident()))
    [(headers, _)] = receiver.requests
    assert "Livehouse-Signature" not in headers


def test_many_incidents_fit_into_one_message_of_slack(receiver: Receiver, tmp_path: Path) -> None:
    many = [incident(number, text=f"<&> {'x' * 400}", scope=f"l{number}") for number in range(900)]
    post_message(settings_of(tmp_path, receiver), message_of(*many))
    [text] = receiver.texts
    assert len(text) < 40_000, "Slack truncates longer texts"
    assert "900 new incidents, 0 closed" in text
    assert "more: `livehouse alerts` lists them" in text
    assert len(message_of(*many).fields["incidents"]) == 900


@pytest.mark.parametrize(
    "hostile",
    ["@channel", "<!here>", "https://evil.example", "_www.evil.example", "[x](y)", "`code`", "x\n• closed: y"],
)
def test_names_mention_nobody_and_link_nowhere(hostile: str, receiver: Receiver, tmp_path: Path) -> None:
    given = incident(app_id=hostile, scope=hostile, text=f"in app {hostile}")
    for form in ("slack", "json"):
        post_message(settings_of(tmp_path, receiver, LIVEHOUSE_ALERT_FORMAT=form), message_of(given))
    assert all(hostile not in text for text in receiver.texts if "<" not in hostile)
    assert "<!" not in receiver.texts[0]


def test_a_repeated_message_has_the_same_ids() -> None:
    first, again = message_of(incident(), incident(2)), message_of(incident(), incident(2))
    assert first == again
    assert first.id != message_of(incident()).id
    assert json.loads(json.dumps(first.fields)) == first.fields


@pytest.mark.parametrize(
    ("given", "events"),
    [
        ({}, ["opened"]),
        ({"open_posted_at": NOW}, []),
        ({"opened_at": datetime(2026, 6, 1)}, []),  # opened before there was a webhook
        ({"closed_at": NOW, "closing": "over"}, ["opened", "closed"]),
        ({"closed_at": NOW, "closing": "over", "open_posted_at": NOW}, ["closed"]),
        ({"closed_at": NOW, "closing": "corrected", "open_posted_at": NOW}, ["closed"]),
        ({"closed_at": NOW, "closing": "over", "open_posted_at": NOW, "close_posted_at": NOW}, []),
        ({"closed_at": NOW, "closing": "over", "opened_at": datetime(2026, 6, 1)}, []),
        ({"closed_at": NOW, "closing": "rule_removed", "open_posted_at": NOW}, []),
        ({"closed_at": NOW, "closing": "app_removed"}, []),
    ],
)
def test_openings_and_closings_that_are_posted(given: dict[str, Any], events: list[str]) -> None:
    assert [entry["event"] for entry in message_of(incident(**given)).fields["incidents"]] == events

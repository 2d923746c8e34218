"""Rules: the default set, a file that changes it, and the one line for each fault of that file."""

import re
from pathlib import Path

import pytest

from pipelines.alerts.metrics import METRICS
from pipelines.alerts.rules import Rule, load_rules

DEFAULT = {"error_rate", "slow_start", "viewer_hours_halved", "no_new_day", "allowance"}


def rules_of(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "alerts.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_default_rules_are_explained() -> None:
    rules = load_rules(None)
    assert {rule.name for rule in rules.rules} >= DEFAULT
    assert rules.faults == ()
    assert all(len(rule.why) > 60 for rule in rules.rules)


def test_a_file_adds_changes_and_disables_rules_by_name(tmp_path: Path) -> None:
    text = """
        recent_days = 3
        [rules.error_rate]
        above = 0.2
        [rules.slow_start]
        enabled = false
        [rules.viewer_hours_halved]
        why = "Nobody streams."
        metric = "stream_hours"
        below = 1
        [rules.empty]
        why = "A query."
        sql = "SELECT app_id, 1 AS value FROM marts.daily_usage WHERE false"
    """
    rules = load_rules(rules_of(tmp_path, text))
    assert (rules.faults, rules.recent_days) == ((), 3)
    by_name = {rule.name: rule for rule in rules.rules}
    assert set(by_name) == (DEFAULT | {"empty"}) - {"slow_start"}
    assert "slow_start" not in rules.names
    changed = by_name["error_rate"]
    assert (changed.above, changed.minimum_sessions, changed.why[:4]) == (0.2, 20, "More")
    replaced = by_name["viewer_hours_halved"]
    assert (replaced.metric, replaced.below, replaced.median_of_weekdays) == ("stream_hours", 1, None)


def test_the_manual_shows_a_file_that_can_be_read_and_names_every_key_and_metric(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "alerts.md").read_text()
    [example] = re.findall(r"^```toml\n(.+?)^```", page, re.MULTILINE | re.DOTALL)
    rules = load_rules(rules_of(tmp_path, example))
    assert rules.faults == ()
    assert {"recordings_stopped", "unwatched_events"} <= {rule.name for rule in rules.rules}
    named = set(re.findall(r"`(\w+)`", page))
    assert {*METRICS, *DEFAULT, *(key for key in Rule.model_fields if key != "name")} - named == set()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[rules.error_rate]\nabov = 1", "rule error_rate: unknown key 'abov': did you mean above?"),
        (
            "[rules.error_rate]\nxyz = 1",
            "rule error_rate: unknown key 'xyz': a rule takes why, enabled, sql, metric, above",
        ),
        ("[rules.error_rate]\nname = 'x'", "rule error_rate: unknown key 'name'"),
        ("[rules.error_rate]\nabove = '5 %'", "rule error_rate: above must be a number"),
        ("[rules.error_rate]\nabove = true", "rule error_rate: above must be a number"),
        ("[rules.error_rate]\nabove = nan", "rule error_rate: above must be a number"),
        ("[rules.error_rate]\nabove = 1\nbelow = 2", "rule error_rate: a metric takes either above or below"),
        ("[rules.error_rate]\nwindow_days = 0", "rule error_rate: window_days must be a whole number of days, 1 to 31"),
        ("[rules.error_rate]\nwindow_days = 2.5", "rule error_rate: window_days must be a whole number of days"),
        ("[rules.error_rate]\nenabled = 0", "rule error_rate: enabled must be true or false"),
        ("[rules.error_rate]\nminimum_median = 3", "rule error_rate: minimum_median goes with median_of_weekdays"),
        (
            "[rules.no_new_day]\nwindow_days = 2",
            "rule no_new_day: metric hours_since_newest_day takes above, and no other key",
        ),
        ("[rules.x]\nmetric = 'error_rate'\nabove = 1", "rule x: why must be a text of at most 500 characters"),
        ("[rules.x]\nwhy = ' '\nmetric = 'error_rate'\nabove = 1", "rule x: why must be a text"),
        ("[rules.x]\nwhy = 'x'", "rule x: takes either sql or metric"),
        ("[rules.x]\nwhy = 'x'\nsql = 'x'\nmetric = 'sessions'", "rule x: takes either sql or metric"),
        ("[rules.x]\nwhy = 'x'\nsql = 'x'\nwindow_days = 1", "rule x: window_days goes with a metric, not with sql"),
        ("[rules.x]\nwhy = 'x'\nsql = 'x'\nabove = 1\nbelow = 0", "rule x: sql takes above, below, or neither"),
        (
            "[rules.x]\nwhy = 'x'\nmetric = 'viewers'\nabove = 1",
            "rule x: metric must be one of sessions, failed_sessions,",
        ),
        ("[rules.x]\nwhy = 'x'\nmetric = 'sessions'", "rule x: a metric takes either above or below"),
        ("[rules.Bad-Name]\nwhy = 'x'", "rule Bad-Name: a name has lower-case letters"),
        ("[rules.alert_rules]\nwhy = 'x'", "rule alert_rules: the name is taken"),
        ("[rules]\nx = 1", "rule x: must be a table, [rules.x]"),
        ("recent_days = 'x'", "recent_days must be a whole number of days, 1 to 31"),
        ("rule = 1", "unknown key 'rule': the file takes recent_days and [rules.NAME]"),
    ],
)
def test_a_malformed_rule_is_one_line_and_the_others_apply(text: str, fault: str, tmp_path: Path) -> None:
    path = rules_of(tmp_path, text)
    rules = load_rules(path)
    [line] = rules.faults
    assert line.startswith(f"{path}: {fault}")
    assert "\n" not in line
    assert rules.is_readable
    named = fault.partition(": ")[0].removeprefix("rule ")
    assert {rule.name for rule in rules.rules} == DEFAULT - {named}
    assert rules.names >= DEFAULT, "incidents of a malformed rule are not closed as those of a removed one"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"[rules.x\n", "is not TOML: "),
        (b"x = " + b"[" * 9_000, "is not TOML: "),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"rules = 1", "rules must be tables, [rules.NAME]"),
        (None, "there is no such file"),
        ("directory", "is not a file"),
        (b"#" * 1_000_001, "is larger than 1 MB"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line_and_no_rule_applies(
    text: bytes | str | None, fault: str, tmp_path: Path
) -> None:
    path = tmp_path / "missing.toml" if text is None else tmp_path
    if isinstance(text, bytes):
        path = rules_of(tmp_path, text)
    rules = load_rules(path)
    [line] = rules.faults
    assert f"{path}: {fault}" in line
    assert "\n" not in line
    assert (rules.rules, rules.is_readable) == ((), False)

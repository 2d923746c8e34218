"""`livehouse alerts`: evaluates the published figures, posts each opening and closing once, and lists incidents."""

import json
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.steps.alerts import AlertState, update_alerts, update_alerts_between_runs
from pipelines.steps.context import RunContext
from pipelines.storage.warehouse import open_warehouse
from tests.alerts.conftest import APP, BAD_DAY, MORNING, BadHome
from tests.fixed_clock import clock_set_to
from tests.parameters import long_except
from tests.promises.fault_runner import child_process, run_cli


def update(home: BadHome, *, hours: float = 0) -> AlertState:
    """Evaluate the rules this long after the night."""
    with clock_set_to(MORNING + timedelta(hours=hours)):
        return update_alerts_between_runs(home.settings, wait_seconds=5, log=print)


OPENED = [("error_rate", APP, None)]
CLOSED = [("error_rate", APP, "over")]
FIGURES_ONLY = "[rules.no_new_day]\nenabled = false"
"""Without the bad day, the newest complete day is a week old."""


def test_an_incident_is_posted_once_when_it_opens_and_once_when_it_closes(bad_home: BadHome) -> None:
    assert update(bad_home).post_faults == []
    assert bad_home.incidents() == OPENED
    [text] = bad_home.receiver.take_texts()
    assert f"opened: error_rate: error rate 25 % (above 5 %) on {BAD_DAY} in app aula" in text
    update(bad_home, hours=1)
    assert bad_home.receiver.take_texts() == []
    bad_home.load_day(1)
    update(bad_home, hours=24)
    assert bad_home.incidents() == CLOSED
    [text] = bad_home.receiver.take_texts()
    assert "0 new incidents, 1 closed" in text
    update(bad_home, hours=25)
    assert bad_home.receiver.take_texts() == []


def test_a_webhook_that_was_down_gets_the_message_from_the_next_evaluation(bad_home: BadHome) -> None:
    bad_home.receiver.statuses = [404]
    [fault] = update(bad_home).post_faults
    assert (
        fault
        == "could not post to LIVEHOUSE_ALERT_WEBHOOK: HTTP 404; the next evaluation posts the message about incidents again"
    )
    bad_home.receiver.posted.clear()
    bad_home.load_day(1)
    assert update(bad_home, hours=24).post_faults == []
    [text] = bad_home.receiver.take_texts()
    assert "opened and closed: error_rate" in text


def _evaluate(channel: Connection, settings: Settings) -> None:
    update_alerts_between_runs(settings, wait_seconds=5, log=print)
    channel.send("done")


@pytest.mark.long
def test_a_kill_between_posting_and_noting_posts_again_with_the_same_ids(bad_home: BadHome) -> None:
    bad_home.variables["LIVEHOUSE_ALERT_FORMAT"] = "json"
    with clock_set_to(MORNING), child_process(_evaluate, bad_home.settings) as (process, channel):
        bad_home.receiver.on_post = process.kill
        process.join()
        with pytest.raises(EOFError):
            channel.recv()
    bad_home.receiver.on_post = lambda: None
    update(bad_home, hours=1)
    update(bad_home, hours=2)
    (_, first), (_, again) = bad_home.receiver.posted
    assert first == again
    assert bad_home.incidents() == OPENED


@pytest.mark.long
def test_no_day_for_30_hours_is_an_incident_also_when_nothing_runs(bad_home: BadHome) -> None:
    update(bad_home)
    update(bad_home, hours=26)
    assert bad_home.incidents() == OPENED, "29 hours after the end of the last day"
    bad_home.receiver.take_texts()
    update(bad_home, hours=28)
    assert bad_home.incidents() == [*OPENED, ("no_new_day", APP, None)]
    [text] = bad_home.receiver.take_texts()
    assert "opened: no_new_day: time since the newest complete day 31 h (above 30 h) in app aula" in text
    update(bad_home, hours=300)
    assert bad_home.receiver.take_texts() == []
    bad_home.load_day(1)
    bad_home.load_day(2)
    update(bad_home, hours=49)
    assert {closing for _, _, closing in bad_home.incidents()} == {"over"}


@pytest.mark.long
def test_only_old_days_alert_nobody(bad_home: BadHome) -> None:
    """As after a backfill of last year."""
    bad_home.change(f"UPDATE ops.days SET loaded_at = '{MORNING + timedelta(days=30)}'")
    update(bad_home, hours=24 * 30 + 1)
    assert bad_home.incidents() == []
    assert bad_home.receiver.posted == []


def test_nights_that_ended_weeks_ago_are_an_incident_at_the_first_evaluation(bad_home: BadHome) -> None:
    update(bad_home, hours=24 * 30)
    assert bad_home.incidents() == [("no_new_day", APP, None)]


@pytest.mark.parametrize(
    ("change", "closing", "posts"),
    long_except(
        [
            ("UPDATE core.livestream_sessions SET is_failed = false, err_message = NULL", "corrected", 1),
            ("UPDATE core.livestream_sessions SET is_provisional = true, ended_at = NULL", None, 0),
            ("UPDATE ops.days SET is_known = false", None, 0),
            ("UPDATE ops.days SET loaded_at = day + INTERVAL 20 HOUR", None, 0),
            ("UPDATE ops.days SET unread_livestreams = 1", None, 0),
        ],
        ("UPDATE core.livestream_sessions SET is_failed = false, err_message = NULL", "corrected", 1),
        ("UPDATE ops.days SET is_known = false", None, 0),
    ),
)
def test_a_correction_closes_an_incident_and_days_that_are_not_settled_do_not(
    change: str, closing: str | None, posts: int, bad_home: BadHome
) -> None:
    bad_home.use_rules(FIGURES_ONLY)
    update(bad_home)
    bad_home.receiver.take_texts()
    bad_home.change(f"{change} WHERE day = '{BAD_DAY}'")
    update(bad_home, hours=1)
    assert bad_home.incidents() == [("error_rate", APP, closing)]
    assert len(bad_home.receiver.posted) == posts


@pytest.mark.long
def test_a_day_is_judged_once_it_is_settled(bad_home: BadHome) -> None:
    bad_home.use_rules(FIGURES_ONLY)
    settle = f"UPDATE ops.days SET loaded_at = day + INTERVAL 26 HOUR WHERE day = '{BAD_DAY}'"
    bad_home.change(f"UPDATE ops.days SET loaded_at = day + INTERVAL 23 HOUR WHERE day = '{BAD_DAY}'")
    update(bad_home)
    assert bad_home.incidents() == []
    bad_home.change(settle)
    update(bad_home, hours=1)
    assert bad_home.incidents() == OPENED


@pytest.mark.long
@pytest.mark.parametrize(
    "rules", ["[rules.error_rate]\nenabled = false", "[rules.fail_rate]\nwhy = 'x'\nmetric = 'sessions'\nbelow = 1"]
)
def test_a_removed_rule_closes_its_incidents_without_a_message(rules: str, bad_home: BadHome) -> None:
    bad_home.use_rules(
        "[rules.renamed]\nwhy = 'x'\nmetric = 'error_rate'\nabove = 0.1\n[rules.error_rate]\nenabled = false"
    )
    update(bad_home)
    bad_home.receiver.take_texts()
    bad_home.use_rules(rules + "\n[rules.error_rate]\nenabled = false" * ("fail_rate" in rules))
    update(bad_home, hours=1)
    assert bad_home.incidents() == [("renamed", APP, "rule_removed")]
    assert bad_home.receiver.posted == []


@pytest.mark.long
@pytest.mark.parametrize("rules", ["[rules.error_rate\n", "[rules.error_rate]\nabove = 'x'"])
def test_a_malformed_file_leaves_incidents_as_they_are(rules: str, bad_home: BadHome) -> None:
    update(bad_home)
    path = bad_home.use_rules(rules)
    bad_home.load_day(1)
    [fault] = update(bad_home, hours=24).rule_faults
    assert str(path) in fault
    assert bad_home.incidents() == OPENED


@pytest.mark.long
def test_a_run_of_a_split_night_judges_the_account_by_every_app(bad_home: BadHome) -> None:
    """The night of `stage` has not loaded the bad day yet: a sum over both apps is not known."""
    bad_home.use_rules(
        "[rules.quiet]\nwhy = 'x'\nbelow = 1e9\nsql = 'SELECT NULL::VARCHAR AS app_id, day, sum(viewer_seconds) AS value"
        " FROM marts.daily_usage GROUP BY day'"
    )
    bad_home.load_day(-1, app_id="stage")
    warehouse = open_warehouse(bad_home.settings)
    run = RunContext(bad_home.settings, warehouse, "night of aula", other_apps=("stage",))
    with clock_set_to(MORNING), warehouse.run(wait_seconds=5, log=print):
        update_alerts(run)
    assert bad_home.incidents() == OPENED
    bad_home.load_day(0, app_id="stage")
    with clock_set_to(MORNING + timedelta(hours=1)), warehouse.run(wait_seconds=5, log=print):
        update_alerts(run)
    assert bad_home.incidents() == [*OPENED, ("quiet", None, None)]


def test_a_fault_of_the_table_of_incidents_does_not_fail_a_night(bad_home: BadHome) -> None:
    bad_home.change("ALTER TABLE ops.incidents ALTER COLUMN text TYPE INTEGER")
    warehouse = open_warehouse(bad_home.settings)
    run = RunContext(bad_home.settings, warehouse, "night")
    with clock_set_to(MORNING), warehouse.run(wait_seconds=5, log=print):
        [fault] = update_alerts(run).rule_faults
        warehouse.write(lambda connection: connection.begin())  # no transaction is left open
    assert fault.startswith("alert rules were not evaluated: Conversion Error: ")
    assert run.warnings == [fault]


def test_an_app_that_is_not_loaded_any_more_closes_without_a_message(bad_home: BadHome) -> None:
    update(bad_home)
    bad_home.receiver.take_texts()
    bad_home.variables["REALTIMEKIT_APP_ID"] = "stage"
    update(bad_home, hours=24)
    assert bad_home.incidents() == OPENED, "another machine may load it"
    update(bad_home, hours=24 * 8)
    assert bad_home.incidents() == [("error_rate", APP, "app_removed")]
    assert bad_home.receiver.posted == []


@pytest.mark.long
def test_an_allowance_that_is_nearly_used_is_an_incident_until_it_is_not(bad_home: BadHome) -> None:
    """24 of 24 hours that viewers may watch in the month were watched on the bad day."""
    bad_home.change("INSERT INTO ops.allowances VALUES ('app', 'aula', 'viewer_minutes', 1440, NULL)")
    update(bad_home)
    assert bad_home.incidents() == [("allowance", APP, None), *OPENED]
    assert "(above 70) in app aula (viewer_minutes)" in bad_home.receiver.take_texts()[0]
    bad_home.change("UPDATE ops.allowances SET included_minutes = 1e6")
    update(bad_home, hours=1)
    assert bad_home.incidents() == [("allowance", APP, "over"), *OPENED]


# --- the command --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_command_lists_incidents_and_its_status_is_1_while_one_is_open(bad_home: BadHome) -> None:
    with clock_set_to(MORNING):
        status, out, err = run_cli(bad_home.variables, "alerts")
        assert (status, err) == (1, "")
        assert out.splitlines()[-1].split()[:3] == ["open", "error_rate", APP]
        status, out, _ = run_cli(bad_home.variables, "alerts", "--format", "json")
    [incident] = json.loads(out)
    assert (incident["state"], incident["rule"], incident["first_day"]) == ("open", "error_rate", f"{BAD_DAY}")
    bad_home.load_day(1)
    with clock_set_to(MORNING + timedelta(hours=24)):
        status, out, _ = run_cli(bad_home.variables, "alerts")
    assert (status, out.splitlines()[-1].split()[0]) == (0, "over")


def test_check_lists_the_rules_or_names_the_fault(bad_home: BadHome) -> None:
    del bad_home.variables["REALTIMEKIT_APP_ID"]
    status, out, err = run_cli(bad_home.variables, "alerts", "--check")
    assert (status, err) == (0, "")
    assert "error_rate" in out
    path = bad_home.use_rules("[rules.x]\nwhy = 'x'\nsql = 'SELECT 1 AS value FROM marts.daily_usag'")
    status, _, err = run_cli(bad_home.variables, "alerts", "--check")
    assert status == 2
    assert err.startswith(f"livehouse: {path}: rule x: sql: Catalog Error: Table with name daily_usag does not exist")
    assert len(err.splitlines()) == 1
    with clock_set_to(MORNING):
        status, out, err = run_cli(bad_home.variables, "alerts")
    assert status == 2
    assert "error_rate" in out, "the other rules apply"
    assert bad_home.incidents() == OPENED


def test_a_test_message_reports_whether_it_was_accepted(bad_home: BadHome) -> None:
    assert run_cli(bad_home.variables, "alerts", "--test")[:2] == (
        0,
        "LIVEHOUSE_ALERT_WEBHOOK accepted the test message\n",
    )
    bad_home.receiver.statuses = [403]
    status, out, err = run_cli(bad_home.variables, "alerts", "--test")
    assert (status, out, err) == (1, "", "livehouse: could not post to LIVEHOUSE_ALERT_WEBHOOK: HTTP 403\n")
    del bad_home.variables["LIVEHOUSE_ALERT_WEBHOOK"]
    status, _, err = run_cli(bad_home.variables, "alerts", "--test")
    assert (status, err) == (
        2,
        "livehouse: LIVEHOUSE_ALERT_WEBHOOK is not set: there is nowhere to post a test message\n",
    )


def test_without_published_figures_nothing_is_created(tmp_path: Path) -> None:
    home = tmp_path / "home"
    status, _, err = run_cli({"LIVEHOUSE_HOME": str(home)}, "alerts")
    assert status == 1
    assert "nothing has been published yet" in err
    assert not home.exists()

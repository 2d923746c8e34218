"""The page in Chromium on doubtful figures: it names what is unknown, missing or different, and the likely cause.

All tests share one page of one app. Each week of its warehouse has troubles of its own.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.report.open_page import USAGE, OpenPage, needs_chromium, opened
from tests.report.test_page_cases import make_warehouse, write_page_of

pytestmark = [needs_chromium, pytest.mark.long]

OVERALL = "UPDATE core.livestream_analytics_daily SET {} WHERE day = '{}'"
QUARANTINE = """INSERT INTO ops.quarantine BY NAME SELECT 'app' AS app_id, 'core.livestream_sessions' AS table_name,
    DATE '{0}' AS day, 'record {0}' AS record_id, 'ingest_seconds' AS field, 'not a number: "n/a"' AS reason"""
OLDER = "fetched_at = fetched_at - INTERVAL 2 HOUR"
UNKNOWN_WEEK = ("2026-02-01", "2026-02-07")
UNKNOWN, GAP = "day = '2026-02-01'", "day = '2026-02-03'"
MIXED_WEEK = ("2026-02-08", "2026-02-14")
OLDER_WEEK = ("2026-02-15", "2026-02-21")
QUARANTINE_WEEK = ("2026-02-22", "2026-02-28")
CHANGES = (
    f"DELETE FROM ops.days WHERE {GAP}",
    f"DELETE FROM core.livestream_sessions WHERE {GAP} OR {UNKNOWN}",
    f"UPDATE ops.days SET is_known = false WHERE {UNKNOWN} AND table_name = 'core.livestream_sessions'",
    "INSERT INTO ops.missing_days VALUES ('app', '2026-02-03', 2, '2026-02-20 05:00')",
    OVERALL.format("ingest_seconds = ingest_seconds + 7200.5, viewer_seconds = viewer_seconds - 36000.5", "2026-02-10"),
    OVERALL.format("ingest_seconds = ingest_seconds - 3600.5", "2026-02-11"),
    # more sessions, but fewer hours of both measures
    OVERALL.format(
        "session_count = 8, ingest_seconds = ingest_seconds - 900.5, viewer_seconds = viewer_seconds - 900.5",
        "2026-02-12",
    ),
    OVERALL.format(f"viewer_seconds = viewer_seconds + 36000.5, {OLDER}", "2026-02-17"),
    OVERALL.format(f"viewer_seconds = viewer_seconds - 36000.5, {OLDER}", "2026-02-18"),
    OVERALL.format("session_count = 7", "2026-02-19"),
    OVERALL.format("viewer_seconds = viewer_seconds + 36000", "2026-02-24"),
    QUARANTINE.format("2026-02-24"),
    QUARANTINE.format("2026-02-25"),
    "DELETE FROM core.livestreams WHERE livestream_id = 'stream-6'",
    """INSERT INTO ops.incidents BY NAME
        SELECT * FROM (VALUES
            ('1', 'error_rate', 'app', NULL, NULL, DATE '2026-02-10', DATE '2026-02-11', 'error rate 25 % <b>in app'),
            ('2', 'no_new_day', 'app', NULL, NULL, NULL, NULL, 'time since the newest day 31 h'),
            ('3', 'slow_start', 'app', TIMESTAMP '2026-02-27', 'over', DATE '2026-02-25', DATE '2026-02-25', 'slow'),
            ('4', 'slow_start', 'app', TIMESTAMP '2026-02-10', 'over', DATE '2026-02-08', DATE '2026-02-08', 'too old'),
            ('5', 'renamed', 'app', TIMESTAMP '2026-02-27', 'rule_removed', DATE '2026-02-25', DATE '2026-02-25', 'silent')
        ) AS rows (incident_id, rule, app_id, closed_at, closing, first_day, last_day, text)""",
    "UPDATE ops.rates SET export_rate = 0.0004, participant_rate = 0.0000125",
    "INSERT INTO ops.allowances VALUES ('app', 'app', 'viewer_minutes', 1, 0.001), ('customer', '<b>', 'ingest_minutes', 0, NULL)",
)


@pytest.fixture(scope="module")
def doubtful(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    directory = tmp_path_factory.mktemp("doubtful")
    published = make_warehouse(directory, ("app",), days=35, changes=CHANGES)
    report = write_page_of(published, directory / "report.html")
    with opened(browser, report) as seen:
        yield seen


def test_change_is_shown_only_if_both_periods_are_known(doubtful: OpenPage) -> None:
    doubtful.show_days(*QUARANTINE_WEEK)
    now, before = (
        doubtful.query(USAGE.format(f"day BETWEEN '{first}' AND '{last}'"))[0]
        for first, last in (QUARANTINE_WEEK, OLDER_WEEK)
    )
    change = 100 * (now - before) / before
    tile = doubtful.text('[data-metric="viewer_hours"]')
    sign = "▲ +" if change > 0 else "▼ \u2212"
    assert f"{sign}{abs(change):.1f} %" in tile
    assert f"before {before:,.1f} h" in tile
    doubtful.show_days(MIXED_WEEK[0], QUARANTINE_WEEK[1])
    tiles = doubtful.text("#headline") + doubtful.text("#tiles")
    assert "before" not in tiles
    assert "the 3 weeks before, 18 Jan – 7 Feb 2026, of which 12 of 21 days known: no change is shown" in doubtful.text(
        "#scope"
    )
    doubtful.press("#ranges [data-range='28d']")
    assert "26 of 28 days known" in doubtful.text('[data-metric="viewer_hours"]')


def test_incidents_are_listed_and_lead_to_their_days(doubtful: OpenPage) -> None:
    assert doubtful.table("incidents") == [
        ["✕open", "error_rate", "app", "10–11 Feb 2026", "error rate 25 % <b>in app"],
        ["✕open", "no_new_day", "app", "now", "time since the newest day 31 h"],
        ["✓over", "slow_start", "app", "25 Feb 2026", "slow"],
    ]
    assert "2 incidents are open" in doubtful.text("#trust-line")
    doubtful.press("#table-incidents a")
    assert "10–11 Feb 2026 (2 days, UTC)" in doubtful.text("#scope")


def test_allowances_are_listed_by_month_beside_the_estimate(doubtful: OpenPage) -> None:
    used, percent, cost = doubtful.query(
        "SELECT used_minutes, used_percent, overage_cost FROM marts.monthly_allowance"
        " WHERE holder = 'app' AND month = '2026-02-01'"
    )
    rows = doubtful.table("allowances")
    assert rows[0] == ["app", "2026-02", f"{used:,.0f}", "1", f"{percent:,.1f} %", f"{used - 1:,.0f}", f"${cost:,.2f}"]
    assert rows[1] == ["<b>", "2026-02", "0", "0", "–", "0", "–"]
    assert [row[1] for row in rows] == ["2026-02"] * 2 + ["2026-01"] * 2


def test_unknown_days_and_gaps_are_shown_with_their_reason(doubtful: OpenPage) -> None:
    doubtful.show_days(*UNKNOWN_WEEK)
    assert "1 day missing" in doubtful.text("#trust-line")
    assert "1 unknown day" in doubtful.text("#trust-line")
    answer = doubtful.text("#answer")
    assert "On 2 days the sessions or the API’s totals are unknown" in answer
    assert "meetings on 1 day, recordings on 1 day" in answer
    gap, unknown = doubtful.table("missing")
    assert (gap[0], *gap[2:4]) == ("✕gap", "all", "3 Feb 2026")
    assert gap[4].startswith(
        "not loaded, although 2 nightly runs tried, last on 20 Feb 2026, 05:00 UTC: livehouse backfill"
    )
    assert (unknown[0], *unknown[2:4]) == ("?unknown", "Sessions", "1 Feb 2026")
    assert "5 of 7 days known" in doubtful.text('[data-metric="viewer_hours"]')
    signs = doubtful.page.eval_on_selector_all(
        "#chart-days .mark-text text", "texts => texts.map(text => text.textContent).filter(text => text === '?')"
    )
    assert signs == ["?", "?"]


def test_a_session_in_quarantine_is_named_as_the_cause(doubtful: OpenPage) -> None:
    doubtful.show_days(*QUARANTINE_WEEK)
    shown = doubtful.query(USAGE.format(f"day BETWEEN '{QUARANTINE_WEEK[0]}' AND '{QUARANTINE_WEEK[1]}'"))[0]
    answer = doubtful.text("#answer")
    assert "On 6 of 7 settled days the sessions shown add up" in answer
    assert f"On 1 day the API counts 10.0 viewer hours ({1000 / shown:,.1f} %) more than is shown" in answer
    assert "On that day a session is in quarantine" in answer
    assert "2 records are in quarantine" in answer
    [kind] = doubtful.table("quarantine")
    assert kind[3:6] == ["2", "app", "24–25 Feb 2026"]
    assert [row[:3] for row in doubtful.table("coverage")] == [["app", "all", "7"]]
    doubtful.show_days("2026-02-22", "2026-02-23")
    assert "Nothing is missing, in quarantine or unsettled." in doubtful.text("#answer")


def test_a_total_fetched_before_the_sessions_is_named_as_the_cause(doubtful: OpenPage) -> None:
    doubtful.show_days(*OLDER_WEEK)
    lines = doubtful.text("#answer").splitlines()
    [missing] = [line for line in lines if "the API counts" in line]
    [behind] = [line for line in lines if "below its own sessions" in line]
    assert "On 2 days the API counts 1 session and 10.0 viewer hours" in missing
    assert "On 1 of them the API’s total was fetched before the sessions were" in missing
    assert "The API did not return those sessions." in missing
    assert "below its own sessions. On that day the API’s total was fetched before the sessions were" in behind
    assert "lag" not in behind


def test_only_the_measure_that_is_higher_is_called_higher(doubtful: OpenPage) -> None:
    """On a mixed day the API's total has more of one measure and less of the other."""
    doubtful.show_days(*MIXED_WEEK)
    lines = doubtful.text("#answer").splitlines()
    [missing] = [line for line in lines if "the API counts" in line]
    [behind] = [line for line in lines if "below its own sessions" in line]
    assert re.search(
        r"On 2 days the API counts 2 sessions and 2\.0 ingest hours \([\d.]+ %\) more than is shown", missing
    )
    assert "viewer" not in missing
    assert re.search(r"On 1 day the API’s totals are 1\.0 ingest hours \([\d.]+ %\) below", behind)
    assert "viewer" not in behind
    differences = {row[0]: (row[2], row[5], row[8]) for row in doubtful.table("differences")}
    assert differences["10 Feb 2026"] == ("✕sessions missing", "120.0", "-600.0")


def test_estimate_lists_each_kind_of_minutes_and_unrounded_rates(doubtful: OpenPage) -> None:
    doubtful.show_days(*OLDER_WEEK)
    rows = {row[0]: row for row in doubtful.table("cost")}
    assert rows["Recordings"][4] == "$0.0004"
    assert rows["Meetings, at least"][4] == "$0.0000125"
    unlisted = rows["Not estimated: livestreams that are not listed"]
    other = rows["Not estimated: other livestreams"]
    minutes = doubtful.query(
        f"""SELECT sum(unlisted_ingest_seconds) / 60,
        sum(ingest_seconds - meeting_ingest_seconds - unlisted_ingest_seconds) / 60
        FROM marts.daily_usage WHERE day BETWEEN '{OLDER_WEEK[0]}' AND '{OLDER_WEEK[1]}'"""
    )
    assert [unlisted[3], other[3]] == [f"{value:,.0f}" for value in minutes]
    assert (unlisted[1], unlisted[4]) == ("–", "no rate")

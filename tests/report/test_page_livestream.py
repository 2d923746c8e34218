"""The page of a livestream, and the sessions behind an error message: every session of SQL, linked from every name."""

import math
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.report import sessions as page_sessions
from tests.report.open_page import DRAWN, OpenPage, needs_chromium, opened
from tests.report.test_page_cases import HOSTILE, embedded, make_warehouse, named, write_page_of

STREAM = "app_id = 'main-app' AND livestream_id = 'stream-6'"
QUARANTINED = """INSERT INTO ops.quarantine BY NAME SELECT 'main-app' AS app_id, 'core.livestream_sessions' AS table_name,
    DATE '2026-02-20' AS day, 'record-' || n AS record_id, 'viewer_seconds' AS field, 'not a number: "n/a"' AS reason,
    payload FROM (VALUES (1, '{"livestream_id": "stream-6"}'), (2, '{"livestream_id": "stream-7"}'), (3, 'no JSON'))
    AS payloads(n, payload)"""
ON_AIR = """UPDATE core.livestream_sessions SET stopped_at = NULL, err_message = NULL, viewer_seconds = NULL
    WHERE session_id = 'session-2-0' AND app_id = 'main-app'"""
HALF_SECOND = "UPDATE core.livestream_sessions SET ingest_seconds = 2.5 WHERE session_id LIKE 'session-3-%'"
UNWATCHED = "UPDATE core.livestream_sessions SET viewer_seconds = 0 WHERE livestream_id = 'stream-5'"
RANGE = "from=2026-02-01&to=2026-02-28"
OF_STREAM = f"{RANGE}&livestream=stream-6&livestream_app=main-app"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("livestream")
    changes = (*named(HOSTILE[:2]), QUARANTINED, ON_AIR, HALF_SECOND, UNWATCHED)
    return write_page_of(make_warehouse(directory, changes=changes), directory / "report.html")


def go(seen: OpenPage, address: str) -> None:
    """Follow a link within the page."""
    seen.page.evaluate(f"location.hash = {address!r}")
    seen.page.wait_for_selector(DRAWN)


def figures(seen: OpenPage) -> dict[str, str]:
    """Return the figures of a livestream by label."""
    tiles = seen.page.query_selector_all("#livestream-figures .tile")
    return {tile.query_selector("h3").inner_text(): tile.query_selector(".value").inner_text() for tile in tiles}


@pytest.mark.long
def test_every_session_is_embedded(report: Path) -> None:
    found = embedded(report.read_text(encoding="utf-8"), "sessions")
    with duckdb.connect(report.with_name("warehouse.duckdb"), read_only=True) as connection:
        rows = connection.execute(
            """SELECT app_id, livestream_id, count(*), sum(ingest_seconds), sum(viewer_seconds), sum(is_failed::INTEGER)
            FROM core.livestream_sessions GROUP BY ALL ORDER BY ALL"""
        ).fetchall()
        [(on_air,)] = connection.execute(
            "SELECT sum(round(epoch(ended_at) - epoch(started_at))) FROM core.livestream_sessions"
        ).fetchall()
    lists = found["rows"]
    assert [(found["livestreams"]["livestream_id"][n], count) for n, count in enumerate(found["counts"])] == [
        row[1:3] for row in rows
    ]
    for column, place in (("ingest_seconds", 3), ("viewer_seconds", 4)):
        total = sum(row[place] for row in rows)
        assert sum(value or 0 for value in lists[column]) == pytest.approx(total, abs=1)
    lengths = [  # as the page decodes them, with Math.round
        length + math.floor((ingest or 0) + 0.5)
        for length, ingest in zip(lists["length"], lists["ingest_seconds"], strict=True)
        if length is not None
    ]
    assert sum(lengths) == on_air
    assert len(lists["message"]) == sum(row[5] for row in rows)
    labels = [found["states"][int(state)]["label"] for state in lists["state"]]
    assert len(lists["session_id"]) == sum(label != "ended" for label in labels)
    assert None not in lists["session_id"]


@pytest.mark.long
@needs_chromium
def test_a_name_opens_the_page_of_its_livestream(shown: OpenPage) -> None:
    go(shown, RANGE)
    shown.page.click('#table-top a[href*="livestream=stream-6&"][href*="main-app"]')
    shown.page.wait_for_selector("#livestream")
    shown.page.wait_for_selector(DRAWN)
    assert shown.text("#livestream-title") == "Show 6"
    assert not shown.page.is_visible("#usage")
    assert shown.text("#scope") == "1–28 Feb 2026 (28 days, UTC)"
    [wanted] = [
        shown.query(
            f"""SELECT count(*), count(*) FILTER (WHERE is_failed), sum(viewer_seconds) / 3600, sum(ingest_seconds) / 3600,
            quantile_cont(time_to_live_seconds, 0.5) FROM core.livestream_sessions
            WHERE {STREAM} AND day >= '2026-02-01'"""
        )
    ]
    found = figures(shown)
    labels = ("Sessions", "Failed sessions", "Viewer hours", "Ingest hours", "Time to live, p50")
    forms = ("{:,.0f}", "{:,.0f}", "{:,.1f} h", "{:,.1f} h", "{:,.1f} s")
    assert [found[label] for label in labels] == [form.format(value) for form, value in zip(forms, wanted, strict=True)]
    shown.page.go_back()
    shown.page.wait_for_selector("#usage")
    assert not shown.page.is_visible("#livestream")


@pytest.mark.long
@needs_chromium
def test_a_livestream_that_nobody_watched_has_an_average_of_zero(shown: OpenPage) -> None:
    go(shown, OF_STREAM.replace("stream-6", "stream-5"))
    found = figures(shown)
    assert [found[label] for label in ("Viewer hours", "Average concurrent viewers")] == ["0.0 h", "0.0"]


@pytest.mark.long
@needs_chromium
def test_a_bar_opens_the_page_of_its_livestream(shown: OpenPage) -> None:
    go(shown, RANGE)
    [name, *_] = shown.table("top")[0]
    shown.page.click("#chart-top .mark-rect path >> nth=0")
    shown.page.wait_for_selector("#livestream")
    assert name == f"1. {shown.text('#livestream-title')}"
    go(shown, RANGE)
    shown.page.focus("figure:has(#chart-top) input.values")
    shown.page.keyboard.press("Home")
    shown.page.keyboard.press("Enter")
    shown.page.wait_for_selector("#livestream")
    assert name == f"1. {shown.text('#livestream-title')}"


@pytest.mark.long
@needs_chromium
def test_sessions_of_a_livestream_equal_sql(shown: OpenPage) -> None:
    go(shown, OF_STREAM)
    with duckdb.connect(shown.published, read_only=True) as connection:
        wanted = connection.execute(
            f"""SELECT coalesce(started_at, invoked_at), round(ingest_seconds / 60, 1), round(viewer_seconds / 3600, 2),
            err_message FROM core.livestream_sessions WHERE {STREAM} AND day >= '2026-02-01' ORDER BY 1 DESC"""
        ).fetchall()
    rows = shown.table("sessions")
    moments = [f"{begun:%a} {begun.day} {begun:%b %Y, %H:%M} UTC" for begun, *_ in wanted]
    assert [row[0] for row in rows] == moments
    assert [float(row[4]) for row in rows] == [minutes for _, minutes, *_ in wanted]
    assert [row[5] for row in rows] == ["–" if hours is None else f"{hours:.2f}" for _, _, hours, _ in wanted]
    assert [row[7] for row in rows] == [message or "–" for *_, message in wanted]
    assert {row[1][1:] for row in rows} >= {"ended", "on air", "failed before going live"}
    bars = shown.page.query_selector_all("#chart-timeline .mark-rect path[aria-label*=Feb]")
    assert len(bars) >= len(rows)


@pytest.mark.long
@needs_chromium
def test_records_in_quarantine_are_listed_with_their_livestream(shown: OpenPage) -> None:
    go(shown, OF_STREAM)
    assert shown.table("own-quarantine") == [
        ["record-1", "Sessions", "20 Feb 2026", "viewer_seconds", 'not a number: "n/a"']
    ]
    go(shown, OF_STREAM.replace("stream-6", "stream-9"))
    assert shown.text("#table-own-quarantine") == "Records in quarantine: none in this period."


@pytest.mark.long
@needs_chromium
def test_a_message_leads_to_its_sessions(shown: OpenPage) -> None:
    go(shown, RANGE)
    message = "handshake failed"
    row = f"#table-messages tr:has(bdi:text-is('{message}'))"
    shown.page.click(f"{row} summary")
    items = [item.inner_text() for item in shown.page.query_selector_all(f"{row} li")]
    [count] = shown.query(
        f"SELECT count(*) FROM core.livestream_sessions WHERE err_message = '{message}' AND day >= '2026-02-01'"
    )
    newest = shown.query(
        f"""SELECT session_id, invoked_at FROM core.livestream_sessions WHERE err_message = '{message}'
        ORDER BY invoked_at DESC, app_id, livestream_id LIMIT 1"""
    )
    assert len(items) == count
    assert items[0].startswith(f"{newest[1]:%a} {newest[1].day} {newest[1]:%b %Y, %H:%M} UTC: ")
    assert items[0].endswith(f"session {newest[0]}")
    shown.page.click(f"{row} li a")
    shown.page.wait_for_selector("#livestream")
    shown.page.wait_for_selector(DRAWN)
    assert message in [line[0] for line in shown.table("failures")]


@pytest.mark.long
@needs_chromium
def test_names_on_the_page_of_a_livestream_are_text(shown: OpenPage) -> None:
    go(shown, OF_STREAM.replace("stream-6", "stream-0"))
    assert shown.text("#livestream-title") == HOSTILE[0]
    assert HOSTILE[0] in shown.text("#table-failures")
    go(shown, f"{RANGE}&livestream=%3Cimg src=x onerror=document.title=1%3E&livestream_app=main-app")
    assert shown.text("#livestream-title") == "<img src=x onerror=document.title=1>"
    assert shown.text("#table-sessions") == "Sessions: none in this period."
    assert shown.page.title() == "Livestream report"
    assert shown.page.query_selector("img") is None


@pytest.mark.long
@needs_chromium
def test_older_sessions_that_are_not_listed_are_named(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(page_sessions.LIMITS, "sessions", 100)
    report = write_page_of(make_warehouse(tmp_path), tmp_path / "report.html")
    with opened(browser, report) as seen:
        go(seen, OF_STREAM)
        note = seen.text("#livestream-note")
        assert note == "sessions before 21 Feb 2026 are listed one by one only if they failed"
        assert figures(seen)["Time to live, p50"] == "–"
        [sessions] = seen.query(f"SELECT count(*) FROM core.livestream_sessions WHERE {STREAM} AND day >= '2026-02-01'")
        assert figures(seen)["Sessions"] == str(sessions)
        [listed] = seen.query(
            f"""SELECT count(*) FROM core.livestream_sessions WHERE {STREAM} AND day >= '2026-02-01'
            AND (day >= '2026-02-21' OR is_failed)"""
        )
        assert len(seen.table("sessions")) == listed

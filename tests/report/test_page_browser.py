"""The page in a real Chromium: it draws, shows the figures of SQL, logs no error and runs no code from names.

Chromium is found on PATH or at LIVEHOUSE_CHROMIUM; nothing is installed or fetched.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.report.metrics import Rates
from pipelines.report.page import SCRIPTS, WEB
from tests.report.test_page_audience import watched
from tests.report.test_page_cases import CASES, HOSTILE, LAST, make_warehouse, named, write_page_of

sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
CHROMIUM = os.environ.get("LIVEHOUSE_CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: `apt-get install chromium`")

SWITCHES = ("disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync", "no-first-run")
ARGUMENTS = [f"--{switch}" for switch in ("no-sandbox", *SWITCHES)]
CHARTS = ("days", "weekdays", "peaks", "top", "waits", "failures", "verdicts")
MINUS = "▼ \u2212"
DRAWN = "html[data-state=drawn]"


@dataclass
class OpenPage:
    """A page open in the browser, what it logged and what it requested."""

    page: Any
    logged: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def tile(self, metric: str) -> str:
        """The text of a tile's value."""
        return str(self.page.inner_text(f'[data-metric="{metric}"] .value')).replace("\n", " ")

    def table(self, name: str) -> list[list[str]]:
        """The first lines of each cell of a table, row by row."""
        rows = self.page.eval_on_selector_all(
            f"#table-{name} tbody tr", "rows => rows.map(row => [...row.cells].map(cell => cell.innerText))"
        )
        return [[cell.split("\n")[0] for cell in row] for row in rows]

    def press(self, selector: str) -> None:
        self.page.click(selector)
        self.page.wait_for_selector(DRAWN)

    def pick(self, selector: str, value: str) -> None:
        self.page.select_option(selector, value)
        self.page.wait_for_selector(DRAWN)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Any, path: Path, *, width: int = 1280, scheme: str = "light") -> Iterator[OpenPage]:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, reduced_motion="reduce"
    )
    page = context.new_page()
    seen = OpenPage(page)
    page.on("console", lambda message: seen.logged.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.logged.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(path.as_uri())
    if "Nothing is loaded yet" not in page.inner_text("body"):
        page.wait_for_selector(DRAWN, timeout=20_000)
    yield seen
    context.close()
    assert seen.logged == []
    assert seen.requests == [path.as_uri()]


def query(published: Path, sql: str) -> tuple[Any, ...]:
    with duckdb.connect(published, read_only=True) as connection:
        [row] = connection.execute(sql).fetchall()
        return tuple(row)


USAGE = """SELECT sum(viewer_seconds) / 3600, sum(ingest_seconds) / 3600, sum(sessions), sum(failed_sessions),
    sum(viewer_seconds) / sum(ingest_seconds), 100 * sum(failed_sessions) / sum(sessions), sum(recordings),
    sum(meeting_minutes) FROM marts.daily_usage WHERE {}"""
TILES = (
    ("viewer_hours", "{:,.1f} h"),
    ("ingest_hours", "{:,.1f} h"),
    ("sessions", "{:,.0f}"),
    ("failed", "{:,.0f}"),
    ("viewers", "{:,.1f} viewers"),
    ("error_rate", "{:,.1f} %"),
    ("recordings", "{:,.0f}"),
    ("meeting_minutes", "{:,.0f} min"),
)


def check_tiles(seen: OpenPage, published: Path, where: str) -> None:
    """Assert that the tiles equal SQL."""
    for (metric, form), value in zip(TILES, query(published, USAGE.format(where)), strict=True):
        assert seen.tile(metric) == form.format(value), metric
    waits = query(
        published,
        f"""SELECT quantile_cont(epoch(started_at - invoked_at), [0.5, 0.95])
            FROM core.livestream_sessions WHERE started_at IS NOT NULL AND {where}""",
    )
    assert [seen.tile(metric) for metric in ("p50", "p95")] == [f"{value:,.1f} s" for value in waits[0]]


def check_tables(seen: OpenPage, published: Path, where: str) -> None:
    """Assert that the tables equal SQL."""
    apps = seen.table("apps")
    assert [row[0] for row in apps] == ["main-app", "side-app", "All together"]
    for name, row in zip(("main-app", "side-app", "%"), apps, strict=True):
        hours, _, sessions, *_ = query(published, USAGE.format(f"app_id LIKE '{name}' AND {where}"))
        assert (row[1], row[3]) == (f"{hours:,.1f}", f"{sessions:,.0f}")
    total = query(
        published,
        f"""SELECT livestream_id, sum(viewer_seconds) / 3600, count(*) FROM core.livestream_sessions WHERE {where}
        GROUP BY app_id, livestream_id ORDER BY 2 DESC, app_id, livestream_id LIMIT 1""",
    )
    [first, *_, others, every] = seen.table("top")
    assert (first[1], first[4]) == (f"{total[1]:,.1f}", f"{total[2]}")
    assert others[0].endswith("other livestreams")
    assert every[1] == apps[-1][1]
    messages = query(
        published,
        f"""SELECT list((err_message, n::VARCHAR) ORDER BY n DESC) FROM (SELECT err_message, count(*) AS n
        FROM core.livestream_sessions WHERE err_message <> '' AND {where} GROUP BY err_message)""",
    )
    assert [(row[0], row[1]) for row in seen.table("messages")] == messages[0]
    [cost] = query(
        published,
        f"""SELECT 0.01 * (SELECT sum(recording_minutes) FROM core.recordings_daily WHERE {where})
        + 0.002 * (SELECT sum(session_minutes) FROM core.meeting_sessions_daily WHERE {where})
        + 0.01 / 60 * (SELECT sum(ingest_seconds) FROM core.livestream_sessions JOIN core.livestreams
            USING (app_id, livestream_id) WHERE meeting_id <> '' AND {where})""",
    )
    assert [row[1] for row in seen.table("cost") if row[0].startswith("Estimated total")] == [f"${cost:,.2f}"]
    assert seen.tile("cost") == f"${cost:,.2f}"
    assert [row[:3] for row in seen.table("verdicts")] == [["✓match", "60", "100.0 %"]]


def marks(seen: OpenPage, chart: str) -> int:
    """Count the shapes of figures in a chart, without axes and legends."""
    return int(
        seen.page.eval_on_selector(
            f"#chart-{chart}",
            """place => [...place.querySelectorAll('svg .mark-rect path, svg .mark-line path, svg .mark-symbol path')]
                .filter(path => !path.closest('.role-legend, .role-axis')).filter(path => {
                    const box = path.getBBox(); return box.width > 0 && box.height > 0; }).length""",
        )
    )


def test_charts_tiles_and_tables_equal_sql_for_every_range_and_app(browser: Any, tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        check_tiles(seen, published, "day > DATE '2026-02-28' - 30")
        check_tables(seen, published, "day > DATE '2026-02-28' - 30")
        assert not seen.page.is_visible("#audience"), "not observed"
        assert all(marks(seen, chart) > 0 for chart in CHARTS), {chart: marks(seen, chart) for chart in CHARTS}
        before = marks(seen, "peaks")
        for days in (7, 14):
            seen.press(f"#presets [data-days='{days}']")
            check_tiles(seen, published, f"day > DATE '2026-02-28' - {days}")
            assert marks(seen, "peaks") == days < before
        seen.press("#presets [data-days='all']")
        check_tiles(seen, published, "true")
        seen.page.fill("#from", "2026-01-20")
        seen.page.fill("#to", "2026-02-03")
        seen.page.wait_for_selector(DRAWN)
        check_tiles(seen, published, "day BETWEEN '2026-01-20' AND '2026-02-03'")
        seen.pick("#app", "1")
        check_tiles(seen, published, "app_id = 'side-app' AND day BETWEEN '2026-01-20' AND '2026-02-03'")
        [peak] = query(
            published,
            """SELECT max(peak_concurrent_streams) FROM marts.stream_concurrency
            WHERE app_id = 'side-app' AND day BETWEEN '2026-01-20' AND '2026-02-03'""",
        )
        assert seen.tile("peak") == f"{peak} streams"
        seen.page.reload()  # what was chosen is in the address
        seen.page.wait_for_selector(DRAWN)
        seen.requests.pop()
        check_tiles(seen, published, "app_id = 'side-app' AND day BETWEEN '2026-01-20' AND '2026-02-03'")


def test_peak_viewers_have_a_chart_if_they_were_observed(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write_page_of(watched(tmp_path), tmp_path / "report.html")) as seen:
        assert marks(seen, "audience") > 0
        assert "most at once: 60.0, first on 28 Feb" in seen.page.inner_text("#audience-caption")
        seen.pick("#app", "1")
        assert "most at once: 50.0" in seen.page.inner_text("#audience-caption")


def test_change_is_shown_only_if_both_periods_are_known(browser: Any, tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, ("app",), days=20)
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        weeks = [(LAST - timedelta(days=n + 6), LAST - timedelta(days=n)) for n in (0, 7)]
        now, then = (query(published, USAGE.format(f"day BETWEEN '{first}' AND '{last}'")) for first, last in weeks)
        change = 100 * (now[0] - then[0]) / then[0]
        text = seen.page.inner_text('[data-metric="viewer_hours"]').replace("\u00a0", " ")
        assert f"{'▲ +' if change > 0 else MINUS}{abs(change):.1f} %" in text
        assert f"before {then[0]:,.1f} h" in text
        seen.press("#presets [data-days='14']")
        assert "period before: 6 of 14 days known" in seen.page.inner_text('[data-metric="viewer_hours"]')
        seen.press("#presets [data-days='30']")
        assert "20 of 30 days known" in seen.page.inner_text('[data-metric="viewer_hours"]')


def test_unknown_days_and_gaps_are_shown_with_their_reason(browser: Any, tmp_path: Path) -> None:
    gap, forgotten = "day = '2026-02-24'", "day = '2026-02-22'"
    published = make_warehouse(
        tmp_path,
        ("app",),
        days=14,
        changes=(
            *(f"DELETE FROM {table} WHERE {gap}" for table in ("ops.days", "core.livestream_sessions")),
            f"DELETE FROM core.livestream_sessions WHERE {forgotten}",
            f"UPDATE ops.days SET is_known = false WHERE {forgotten} AND table_name = 'core.livestream_sessions'",
        ),
    )
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        assert "1 day missing" in seen.page.inner_text("#trust-line")
        assert "1 unknown day" in seen.page.inner_text("#trust-line")
        answer = seen.page.inner_text("#answer")
        assert "On 2 days the sessions or the API’s totals are unknown" in answer
        assert "meetings on 1 day, recordings on 1 day" in answer
        missing = [(row[0], row[2], row[3]) for row in seen.table("missing")]
        assert missing == [("✕gap", "all", "24 Feb 2026"), ("?unknown", "Sessions", "22 Feb 2026")]
        assert "5 of 7 days known" in seen.page.inner_text('[data-metric="viewer_hours"]')
        signs = seen.page.eval_on_selector_all(
            "#chart-days .mark-text text", "texts => texts.map(text => text.textContent).filter(text => text === '?')"
        )
        assert signs == ["?", "?"]


def test_trust_is_explained_in_sentences(browser: Any, tmp_path: Path) -> None:
    aside = """INSERT INTO ops.quarantine BY NAME SELECT 'app' AS app_id, 'core.livestream_sessions' AS table_name,
        DATE '{}' AS day, '{}' AS record_id, 'ingest_seconds' AS field, 'not a number: "n/a"' AS reason"""
    published = make_warehouse(
        tmp_path,
        ("app",),
        days=14,
        changes=(
            "UPDATE core.livestream_analytics_daily SET viewer_seconds = viewer_seconds + 36000 WHERE day = '2026-02-24'",
            *(aside.format(day, record) for day, record in (("2026-02-24", "a"), ("2026-02-25", "b"))),
        ),
    )
    shown = query(published, USAGE.format("day > DATE '2026-02-28' - 7"))[0]
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        answer = seen.page.inner_text("#answer")
        assert "On 6 of 7 settled days the sessions shown add up" in answer
        assert f"On 1 day the API counts 10.0 viewer hours ({1000 / shown:,.1f} %) more than is shown" in answer
        assert "On that day a session is in quarantine" in answer
        assert "2 records are in quarantine" in answer
        [kind] = seen.table("quarantine")
        assert kind[3:6] == ["2", "app", "24 Feb 2026 – 25 Feb 2026"]
        assert [row[:3] for row in seen.table("coverage")] == [["app", "all", "7"]]
        seen.page.fill("#to", "2026-02-23")
        seen.page.wait_for_selector(DRAWN)
        assert (
            seen.page.inner_text("#answer").splitlines()[-1].endswith("Nothing is missing, in quarantine or unsettled.")
        )


def test_a_total_fetched_before_the_sessions_is_named_as_the_cause(browser: Any, tmp_path: Path) -> None:
    overall = "UPDATE core.livestream_analytics_daily SET {} WHERE day = '{}'"
    older = "fetched_at = fetched_at - INTERVAL 2 HOUR"
    changes = (
        overall.format(f"viewer_seconds = viewer_seconds + 36000.5, {older}", "2026-02-24"),
        overall.format(f"viewer_seconds = viewer_seconds - 36000.5, {older}", "2026-02-25"),
        overall.format("session_count = 7", "2026-02-26"),
    )
    published = make_warehouse(tmp_path, ("app",), days=14, changes=changes)
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        lines = seen.page.inner_text("#answer").splitlines()
        [missing] = [line for line in lines if "the API counts" in line]
        [behind] = [line for line in lines if "below its own sessions" in line]
        assert "On 2 days the API counts 1 session and 10.0 viewer hours" in missing
        assert "On 1 of them the API’s total was fetched before the sessions were" in missing
        assert "The API did not return those sessions." in missing
        assert "below its own sessions. On that day the API’s total was fetched before the sessions were" in behind
        assert "lag" not in behind


def test_only_the_measure_that_is_higher_is_called_higher(browser: Any, tmp_path: Path) -> None:
    """On a mixed day the API's total has more of one measure and less of the other."""
    overall = "UPDATE core.livestream_analytics_daily SET {} WHERE day = '{}'"
    changes = (
        overall.format(
            "ingest_seconds = ingest_seconds + 7200.5, viewer_seconds = viewer_seconds - 36000.5", "2026-02-24"
        ),
        overall.format("ingest_seconds = ingest_seconds - 3600.5", "2026-02-25"),
        # more sessions, but fewer hours of both measures
        overall.format(
            "session_count = 8, ingest_seconds = ingest_seconds - 900.5, viewer_seconds = viewer_seconds - 900.5",
            "2026-02-26",
        ),
    )
    published = make_warehouse(tmp_path, ("app",), days=14, changes=changes)
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        lines = seen.page.inner_text("#answer").splitlines()
        [missing] = [line for line in lines if "the API counts" in line]
        [behind] = [line for line in lines if "below its own sessions" in line]
        assert re.search(
            r"On 2 days the API counts 2 sessions and 2\.0 ingest hours \([\d.]+ %\) more than is shown", missing
        )
        assert "viewer" not in missing
        assert re.search(r"On 1 day the API’s totals are 1\.0 ingest hours \([\d.]+ %\) below", behind)
        assert "viewer" not in behind
        differences = {row[0]: (row[2], row[5], row[8]) for row in seen.table("differences")}
        assert differences["24 Feb 2026"] == ("✕sessions missing", "120.0", "-600.0")


def test_estimate_lists_each_kind_of_minutes_and_unrounded_rates(browser: Any, tmp_path: Path) -> None:
    published = make_warehouse(
        tmp_path, ("app",), changes=("DELETE FROM core.livestreams WHERE livestream_id = 'stream-6'",)
    )
    rates = Rates(export=0.0004, participant=0.0000125)
    with opened(browser, write_page_of(published, tmp_path / "report.html", rates)) as seen:
        rows = {row[0]: row for row in seen.table("cost")}
        assert rows["Recordings"][4] == "$0.0004"
        assert rows["Meetings, at least"][4] == "$0.0000125"
        unlisted, other = (
            rows["Not estimated: livestreams that are not listed"],
            rows["Not estimated: other livestreams"],
        )
        minutes_sql = """SELECT sum(unlisted_ingest_seconds) / 60,
            sum(ingest_seconds - meeting_ingest_seconds - unlisted_ingest_seconds) / 60
            FROM marts.daily_usage WHERE day > DATE '2026-02-28' - 30"""
        assert [unlisted[3], other[3]] == [f"{minutes:,.0f}" for minutes in query(published, minutes_sql)]
        assert (unlisted[1], unlisted[4]) == ("–", "no rate")


def test_no_script_passes_rows_as_arguments() -> None:
    # an engine takes about 125,000: 160 apps of 800 days have more
    for script in SCRIPTS:
        code = (WEB / script).read_text(encoding="utf-8")
        assert re.findall(r"Math\.\w+\(\.\.\.(?!lines\b)|\.push\(\.\.\.", code) == [], script


def test_names_and_messages_are_shown_as_text(browser: Any, tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, HOSTILE[:2], changes=named(HOSTILE))
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        seen.press("#presets [data-days='all']")
        assert seen.page.title() == "Livestream report"
        assert seen.page.query_selector("img") is None
        assert HOSTILE[0] in seen.page.inner_text("#table-apps")
        assert HOSTILE[0] in seen.page.inner_text("#table-messages")
        for rank in ("viewer_seconds", "ingest_seconds", "sessions", "failed"):
            seen.pick("#rank", rank)
        seen.page.evaluate("document.getElementById('chart-top').scrollIntoView()")
        for bar in seen.page.query_selector_all("#chart-top .mark-rect path"):
            bar.hover()  # tooltips carry names too
        assert seen.page.inner_text("#vg-tooltip-element")
        seen.pick("#app", "0")
        assert HOSTILE[1] in seen.page.inner_text("#scope")
        assert seen.page.query_selector("img") is None
        assert seen.page.title() == "Livestream report"


LIES_OVER_THE_NEXT = """[...document.querySelectorAll(".table :is(th, td)")]
    .filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent)"""
IN_DEFAULT = {"nothing", "one day"}  # hostile names have a test of their own


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in IN_DEFAULT else pytest.mark.long) for case in CASES]
)
def test_every_case_renders_without_errors_at_desktop_and_phone_width(case: str, browser: Any, tmp_path: Path) -> None:
    report = write_page_of(make_warehouse(tmp_path, **CASES[case]), tmp_path / "report.html")
    sights = (1280, "light", ("all", "90"), ("error_rate", "p95")), (360, "dark", ("all",), ("peak", "cost"))
    for width, scheme, presets, metrics in sights:
        with opened(browser, report, width=width, scheme=scheme) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width
            assert seen.page.evaluate(LIES_OVER_THE_NEXT) == []
            if case != "nothing":
                assert seen.page.query_selector_all("#chart-verdicts svg")
                for days in presets:
                    seen.press(f"#presets [data-days='{days}']")
                for metric in metrics:
                    seen.pick("#metric", metric)


def test_theme_can_be_chosen_and_print_is_light(browser: Any, tmp_path: Path) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    with opened(browser, write_page_of(make_warehouse(tmp_path), tmp_path / "report.html"), scheme="dark") as seen:
        dark = seen.page.evaluate(background)
        seen.page.click("#theme")
        light = seen.page.evaluate(background)
        assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 23, 26)")
        seen.page.click("#theme")
        assert seen.page.evaluate(background) == dark
        seen.page.emulate_media(media="print")
        assert seen.page.evaluate(background) == light
        assert not seen.page.is_visible("#controls")
        paper = 695  # what A4 leaves between its margins, at 96 dots an inch
        seen.page.set_viewport_size({"width": paper, "height": 1000})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= paper

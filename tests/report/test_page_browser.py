"""The page in a real Chromium: it draws, shows the figures of SQL, logs no error and runs no code from names."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.report.page import SCRIPTS, WEB
from tests.report.open_page import DRAWN, USAGE, OpenPage, needs_chromium, opened
from tests.report.test_page_audience import watched
from tests.report.test_page_cases import CASES, HOSTILE, make_warehouse, named, write_page_of

pytestmark = needs_chromium

CHARTS = ("days", "weekdays", "peaks", "top", "waits", "failures", "verdicts")
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


def check_tiles(seen: OpenPage, where: str) -> None:
    """Assert that the tiles equal SQL."""
    for (metric, form), value in zip(TILES, seen.query(USAGE.format(where)), strict=True):
        assert seen.tile(metric) == form.format(value), metric
    waits = seen.query(
        f"""SELECT quantile_cont(epoch(started_at - invoked_at), [0.5, 0.95])
            FROM core.livestream_sessions WHERE started_at IS NOT NULL AND {where}""",
    )
    assert [seen.tile(metric) for metric in ("p50", "p95")] == [f"{value:,.1f} s" for value in waits[0]]


def check_tables(seen: OpenPage, where: str) -> None:
    """Assert that the tables equal SQL."""
    apps = seen.table("apps")
    assert [row[0] for row in apps] == ["main-app", "side-app"]
    for name, row in zip(("main-app", "side-app"), apps, strict=True):
        hours, _, sessions, *_ = seen.query(USAGE.format(f"app_id LIKE '{name}' AND {where}"))
        assert (row[1], row[3]) == (f"{hours:,.1f}", f"{sessions:,.0f}")
    total = seen.query(
        f"""SELECT livestream_id, sum(viewer_seconds) / 3600, count(*) FROM core.livestream_sessions WHERE {where}
        GROUP BY app_id, livestream_id ORDER BY 2 DESC, app_id, livestream_id LIMIT 1""",
    )
    [first, *_, others, every] = seen.table("top")
    assert (first[1], first[4]) == (f"{total[1]:,.1f}", f"{total[2]}")
    assert others[0].endswith("other livestreams")
    assert f"{every[1]} h" == seen.tile("viewer_hours")
    messages = seen.query(
        f"""SELECT list((err_message, n::VARCHAR) ORDER BY n DESC) FROM (SELECT err_message, count(*) AS n
        FROM core.livestream_sessions WHERE err_message <> '' AND {where} GROUP BY err_message)""",
    )
    assert [(row[0], row[1]) for row in seen.table("messages")] == messages[0]
    [cost] = seen.query(
        f"""SELECT 0.01 * (SELECT sum(recording_minutes) FROM core.recordings_daily WHERE {where})
        + 0.002 * (SELECT sum(session_minutes) FROM core.meeting_sessions_daily WHERE {where})
        + 0.01 / 60 * (SELECT sum(ingest_seconds) FROM core.livestream_sessions JOIN core.livestreams
            USING (app_id, livestream_id) WHERE meeting_id <> '' AND {where})""",
    )
    assert [row[1] for row in seen.table("cost") if row[0].startswith("Estimated total")] == [f"${cost:,.2f}"]
    assert seen.tile("cost") == f"${cost:,.2f}"
    assert [row[:3] for row in seen.table("verdicts")] == [["✓match", "56", "100.0 %"]]


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


@pytest.fixture(scope="module")
def two_months(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    directory = tmp_path_factory.mktemp("two_months")
    with opened(browser, write_page_of(make_warehouse(directory), directory / "report.html")) as seen:
        yield seen


def test_charts_tiles_and_tables_equal_sql_for_every_range_and_app(two_months: OpenPage) -> None:
    seen = two_months
    check_tiles(seen, "day > DATE '2026-02-28' - 28")
    check_tables(seen, "day > DATE '2026-02-28' - 28")
    assert not seen.page.is_visible("#chart-audience"), "not observed"
    assert all(marks(seen, chart) > 0 for chart in CHARTS), {chart: marks(seen, chart) for chart in CHARTS}
    assert marks(seen, "peaks") == 28
    seen.press("#ranges [data-range='7d']")
    check_tiles(seen, "day > DATE '2026-02-28' - 7")
    assert marks(seen, "peaks") == 7
    seen.press("#ranges [data-range='all']")
    check_tiles(seen, "true")


@pytest.mark.long
def test_what_is_chosen_survives_a_reload(two_months: OpenPage) -> None:
    seen = two_months
    seen.show_days("2026-01-20", "2026-02-03")
    check_tiles(seen, "day BETWEEN '2026-01-20' AND '2026-02-03'")
    seen.pick("#app", "1")
    seen.page.reload()
    seen.page.wait_for_selector(DRAWN)
    seen.requests.pop()
    check_tiles(seen, "app_id = 'side-app' AND day BETWEEN '2026-01-20' AND '2026-02-03'")
    [peak] = seen.query(
        """SELECT max(peak_concurrent_streams) FROM marts.stream_concurrency
        WHERE app_id = 'side-app' AND day BETWEEN '2026-01-20' AND '2026-02-03'"""
    )
    assert seen.tile("peak") == f"{peak} streams"


@pytest.mark.long
def test_peak_viewers_have_a_chart_if_they_were_observed(browser: Any, tmp_path: Path) -> None:
    with opened(browser, write_page_of(watched(tmp_path), tmp_path / "report.html")) as seen:
        assert marks(seen, "audience") > 0
        assert "most at once: 60.0, first on 28 Feb" in seen.page.inner_text("#audience-caption")
        seen.pick("#app", "1")
        assert "most at once: 50.0" in seen.page.inner_text("#audience-caption")


def test_no_script_passes_rows_as_arguments() -> None:
    # an engine takes about 125,000: 160 apps of 800 days have more
    for script in SCRIPTS:
        code = (WEB / script).read_text(encoding="utf-8")
        assert re.findall(r"Math\.\w+\(\.\.\.(?!lines\b)|\.push\(\.\.\.", code) == [], script


@pytest.mark.long
def test_names_and_messages_are_shown_as_text(browser: Any, tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, HOSTILE[:2], changes=named(HOSTILE))
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        seen.press("#ranges [data-range='all']")
        assert seen.page.title() == "Livestream report"
        assert seen.page.query_selector("img") is None
        assert HOSTILE[0] in seen.page.inner_text("#table-apps")
        assert HOSTILE[0] in seen.page.inner_text("#table-messages")
        for rank in ("viewer_seconds", "ingest_seconds", "sessions", "failed"):
            seen.pick("#rank", rank)
        seen.page.evaluate("document.getElementById('chart-top').scrollIntoView()")
        for bar in seen.page.query_selector_all("#chart-top .mark-rect path")[:3]:
            bar.hover()  # tooltips carry names too
        assert seen.page.inner_text("#vg-tooltip-element")
        seen.pick("#app", "0")
        assert HOSTILE[1] in seen.page.inner_text("#scope")
        assert seen.page.query_selector("img") is None
        assert seen.page.title() == "Livestream report"


LIES_OVER_THE_NEXT = """[...document.querySelectorAll(".table :is(th, td)")]
    .filter((cell) => cell.scrollWidth > cell.clientWidth + 1).map((cell) => cell.textContent)"""
IN_DEFAULT = {"nothing", "one day"}  # hostile names have a test of their own


@pytest.mark.long
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in IN_DEFAULT else pytest.mark.long) for case in CASES]
)
def test_every_case_renders_without_errors_at_desktop_and_phone_width(case: str, browser: Any, tmp_path: Path) -> None:
    report = write_page_of(make_warehouse(tmp_path, **CASES[case]), tmp_path / "report.html")
    sights = (1280, "light", ("all",), ("error_rate", "p95")), (360, "dark", ("91d",), ("peak", "cost"))
    for width, scheme, presets, metrics in sights:
        with opened(browser, report, width=width, scheme=scheme) as seen:
            assert seen.page.evaluate("document.documentElement.scrollWidth") == width
            assert seen.page.evaluate(LIES_OVER_THE_NEXT) == []
            if case != "nothing":
                for days in presets:
                    seen.press(f"#ranges [data-range='{days}']")
                for metric in metrics if seen.page.is_visible("#metric") else ():
                    seen.pick("#metric", metric)


@pytest.mark.long
def test_theme_can_be_chosen_and_print_is_light(two_months: OpenPage) -> None:
    page = two_months.page
    background = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(background)
    page.click("#theme")
    light = page.evaluate(background)
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(20, 23, 26)")
    page.click("#theme")
    assert page.evaluate(background) == dark
    page.emulate_media(media="print")
    assert page.evaluate(background) == light
    assert not page.is_visible("#controls")
    paper = 695  # the width of A4 between its margins, at 96 dots per inch
    page.set_viewport_size({"width": paper, "height": 1000})
    assert page.evaluate("document.documentElement.scrollWidth") <= paper

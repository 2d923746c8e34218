"""Every value of the page is reachable by touch, keyboard and screen reader, and can be taken away as a file."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest

from tests.report.open_page import DRAWN, OpenPage, needs_chromium, opened
from tests.report.test_page_cases import make_warehouse, write_page_of

pytestmark = [needs_chromium, pytest.mark.long]
AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\uff1d1")
CHANGES = [
    f"UPDATE core.livestreams SET name = '{name}' WHERE livestream_id = 'stream-{number}'"
    for number, name in enumerate(FORMULAS)
] + [
    "UPDATE core.livestream_sessions SET err_message = '=HYPERLINK(\"x\")' WHERE err_message = 'encoder gone'",
    "DELETE FROM core.recordings_daily WHERE day = '2026-02-20' AND app_id = 'side-app'",
    """UPDATE ops.days SET is_known = false, row_count = 0
        WHERE day = '2026-02-20' AND app_id = 'side-app' AND table_name = 'core.recordings_daily'""",
]

TROUBLES = [
    "DELETE FROM ops.days WHERE day IN ('2026-02-20', '2026-02-23')",
    "DELETE FROM core.livestream_sessions WHERE day IN ('2026-02-20', '2026-02-23')",
    "UPDATE ops.days SET is_known = false WHERE day = '2026-02-10' AND app_id = 'side-app'",
    "UPDATE core.livestream_analytics_daily SET viewer_seconds = viewer_seconds + 7200 * (1 + dayofmonth(day))",
    """INSERT INTO ops.quarantine BY NAME SELECT 'main-app' AS app_id, 'core.livestream_sessions' AS table_name,
        DATE '2026-02-27' - n::INTEGER AS day, 'record' || n AS record_id, 'field ' || n AS field, 'not a number' AS reason
        FROM range(20) AS numbers(n)""",
    """INSERT INTO ops.shrinks BY NAME SELECT 'side-app' AS app_id, 'core.recordings_daily' AS table_name,
        DATE '2026-02-27' - n::INTEGER AS day, 'x' AS record_id, 'reason ' || n AS reason FROM range(20) AS numbers(n)""",
    "UPDATE core.livestream_sessions SET err_message = err_message || ' ' || dayofmonth(day) WHERE err_message <> ''",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("access")
    return write_page_of(make_warehouse(directory, changes=CHANGES), directory / "report.html")


def save(seen: OpenPage, button: str) -> bytes:
    """Press a button that saves a file, and return the file."""
    with seen.page.expect_download() as download:
        seen.page.click(button)
    return Path(download.value.path()).read_bytes()


def read_csv(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def tool(place: str, label: str) -> str:
    return f":is(figure:has({place}), {place}) > .tools button:has-text('{label}')"


@pytest.mark.skipif(not AXE.exists(), reason="no axe-core: `make lint-page` installs it with npm")
def test_axe_finds_nothing(browser: Any, report: Path) -> None:
    with opened(browser, report, width=1440) as seen:
        seen.page.click(tool("#chart-days", "Show as table"))
        seen.page.focus("figure:has(#chart-days) input.values")
        seen.page.evaluate(AXE.read_text(encoding="utf-8"))
        assert find_problems(seen, TAGS) == {}
        seen.page.emulate_media(color_scheme="dark")
        assert find_problems(seen, ["color-contrast"]) == {}
        seen.page.set_viewport_size({"width": 390, "height": 844})
        assert find_problems(seen, TAGS) == {}
        seen.page.emulate_media(color_scheme="light")
        assert find_problems(seen, ["color-contrast"]) == {}
        seen.page.click("#table-messages summary")
        seen.page.click("#table-messages li a")
        seen.page.wait_for_selector("#livestream")
        seen.page.wait_for_selector(DRAWN)
        assert find_problems(seen, TAGS) == {}


def find_problems(seen: OpenPage, rules: list[str]) -> dict[str, list[str]]:
    """Return what axe reports, by rule."""
    found = seen.page.evaluate("rules => axe.run({runOnly: rules, resultTypes: ['violations']})", rules)
    return {rule["id"]: [node["html"][:200] for node in rule["nodes"]] for rule in found["violations"]}


def test_values_of_a_chart_are_read_with_the_keyboard(shown: OpenPage) -> None:
    [hours, before] = (
        value
        for (value,) in (
            shown.query(f"SELECT sum(viewer_seconds) / 3600 FROM marts.daily_usage WHERE day = '{day}'")
            for day in ("2026-02-28", "2026-02-27")
        )
    )
    slider = "figure:has(#chart-days) input.values"
    shown.page.focus(slider)
    assert shown.page.get_attribute(slider, "aria-valuetext") == f"Sat 28 Feb 2026, {hours:,.1f} viewer hours"
    shown.page.keyboard.press("ArrowLeft")
    label = f"Fri 27 Feb 2026, {before:,.1f} viewer hours"
    assert shown.page.get_attribute(slider, "aria-valuetext") == label
    assert label in shown.text("figure:has(#chart-days) .reading")
    assert shown.page.query_selector(f'#chart-days path[aria-label="{label}"]')
    shown.page.keyboard.press("Escape")
    assert not shown.page.is_visible("figure:has(#chart-days) .reading")


def test_a_tap_shows_the_value_of_a_day(browser: Any, report: Path) -> None:
    context = browser.new_context(has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844}, offline=True)
    page = context.new_page()
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-state=drawn]")
    bar = page.query_selector('#chart-peaks path[aria-label^="Sat 14 Feb 2026"]')
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 3)
    assert page.inner_text("figure:has(#chart-peaks) .reading").startswith("Sat 14 Feb 2026, most streams at once: ")
    page.touchscreen.tap(5, 5)
    assert not page.is_visible("figure:has(#chart-peaks) .reading")
    context.close()


def test_values_of_every_chart_are_shown_as_a_table(shown: OpenPage) -> None:
    for name in shown.page.eval_on_selector_all(".chart svg", "all => all.map(one => one.closest('.chart').id)"):
        shown.page.click(tool(f"#{name}", "Show as table"))
        rows = shown.page.query_selector_all(f"#{name.replace('chart', 'values')} tbody tr")
        slider = shown.page.query_selector(f"figure:has(#{name}) input.values")
        assert len(rows) == int(slider.get_attribute("max")) + 1 > 1, name
        shown.page.click(tool(f"#{name}", "Show as table"))


def test_csv_of_a_chart_has_exact_values(shown: OpenPage) -> None:
    [heading, *rows] = read_csv(save(shown, tool("#chart-days", "CSV")))
    assert heading[:2] == ["Day", "Viewer hours"]
    [expected] = shown.query(
        f"""SELECT list((day, hours) ORDER BY day) FROM (SELECT day::VARCHAR AS day, sum(viewer_seconds) / 3600 AS hours
        FROM marts.daily_usage WHERE day >= '{rows[0][0]}' GROUP BY day)"""
    )
    assert [day for day, *_ in rows] == [day for day, _ in expected]
    assert [float(value) for _, value, *_ in rows] == pytest.approx([hours for _, hours in expected])


def test_csv_of_every_table_is_safe_in_a_spreadsheet(shown: OpenPage) -> None:
    tables = shown.page.eval_on_selector_all(".table[id^=table]:has(table)", "all => all.map(one => one.id)")
    assert len(tables) > 5
    files = {name: read_csv(save(shown, tool(f"#{name}", "CSV"))) for name in tables}
    cells = [cell for rows in files.values() for row in rows for cell in row]
    assert [
        cell for cell in cells if cell[:1] in tuple("=+@\uff1d") or (cell[:1] == "-" and not _is_number(cell))
    ] == []
    assert '\'=HYPERLINK("x")' in cells
    for name, rows in files.items():
        assert len(rows) == 1 + len(shown.page.query_selector_all(f"#{name} tbody tr")), name
    partly = {row[0]: row[-1] for row in files["table-apps"]}
    assert partly["App"] == "Partly known"
    assert "Recordings: 27 of 28 days" in partly["side-app"]
    [hours] = shown.query("SELECT sum(viewer_seconds) / 3600 FROM marts.daily_usage WHERE day > DATE '2026-02-28' - 28")
    assert sum(float(row[1]) for row in files["table-apps"][1:]) == pytest.approx(hours, abs=0.11)


def test_charts_are_saved_as_pictures(shown: OpenPage) -> None:
    svg = save(shown, tool("#chart-top", "SVG")).decode()
    assert "viewer hours" in svg.lower()
    assert "var(" not in svg
    png = save(shown, tool("#chart-top", "PNG"))
    assert png.startswith(b"\x89PNG")
    assert len(png) > 10_000


def test_values_are_copied_for_a_spreadsheet(shown: OpenPage) -> None:
    shown.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown.page.click(tool("#table-messages", "Copy"))
    shown.page.wait_for_selector(tool("#table-messages", "copied"))
    copied = shown.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied[0].split("\t")[:2] == ["Message", "Sessions"]
    assert any(line.startswith("'=HYPERLINK") for line in copied)


@pytest.mark.parametrize(
    "changes",
    [pytest.param(CHANGES, id="nothing is wrong"), pytest.param(TROUBLES, id="much is wrong", marks=pytest.mark.long)],
)
def test_four_pages_hold_the_printed_report(browser: Any, tmp_path: Path, changes: list[str]) -> None:
    report = write_page_of(make_warehouse(tmp_path, changes=changes), tmp_path / "report.html")
    with opened(browser, report, width=1440) as seen:
        before = chart_sizes(seen)
        paper = seen.page.pdf(prefer_css_page_size=True)
        assert 2 <= len(re.findall(rb"/Type\s*/Page\b", paper)) <= 4
        assert chart_sizes(seen) == before
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert all(width <= 700 for width, _ in chart_sizes(seen)), "else they are scaled down, labels too"


def chart_sizes(seen: OpenPage) -> list[list[int]]:
    """Return width and height of each drawn chart."""
    sizes: list[list[int]] = seen.page.eval_on_selector_all(
        ".chart svg", "all => all.map(svg => ['width', 'height'].map(side => Number(svg.getAttribute(side))))"
    )
    return sizes


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True

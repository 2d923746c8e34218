"""The page in Chromium: its first screen, the ranges that people choose, and long and empty ranges."""

from collections.abc import Iterator
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from tests.report.open_page import DRAWN, OpenPage, needs_chromium, opened
from tests.report.test_page_cases import make_warehouse, write_page_of

pytestmark = [needs_chromium, pytest.mark.long]

BARS = "#chart-{} svg .mark-rect path"
LABELS = "#chart-{} svg .role-axis-label text"
HOURS = "SELECT sum(viewer_seconds) / 3600 FROM marts.daily_usage WHERE day BETWEEN '{}' AND '{}'"
SILENT = (date(2026, 1, 5), date(2026, 1, 11))
"""A week of known days without a session."""


@pytest.fixture(scope="module")
def history(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    """Twenty months of one app until 15 Feb 2026: a silent week, and two weeks of June 2025 that the source no longer kept."""
    directory = tmp_path_factory.mktemp("history")
    silent = "day BETWEEN '{}' AND '{}'".format(*SILENT)
    unknown = "day BETWEEN '2025-06-02' AND '2025-06-15'"
    tables = ("sessions", "analytics_daily")
    published = make_warehouse(
        directory,
        ("app",),
        days=620,
        sessions=2,
        streams=4,
        changes=(
            f"DELETE FROM core.livestream_sessions WHERE {silent} OR {unknown}",
            *(f"DELETE FROM core.livestream_{table} WHERE day > '2026-02-15'" for table in tables),
            *(
                f"DELETE FROM core.{table}_daily WHERE day > '2026-02-15'"
                for table in ("recordings", "meeting_sessions")
            ),
            "DELETE FROM ops.days WHERE day > '2026-02-15'",
            f"UPDATE ops.days SET is_known = false WHERE {unknown} AND table_name = 'core.livestream_sessions'",
        ),
    )
    with opened(browser, write_page_of(published, directory / "report.html")) as seen:
        yield seen


def choose(seen: OpenPage, preset: str) -> str:
    """Choose a preset and return the line that says which days are shown, and what they are compared with."""
    seen.press(f"#ranges [data-range='{preset}']")
    return seen.text("#scope")


def texts(seen: OpenPage, selector: str) -> list[str]:
    found: list[str] = seen.page.eval_on_selector_all(
        selector, "texts => texts.filter(text => getComputedStyle(text).opacity !== '0').map(text => text.textContent)"
    )
    return [text for text in found if text]


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (390, 844)])
def test_first_screen_has_trust_headlines_and_the_main_chart(history: OpenPage, width: int, height: int) -> None:
    page = history.page
    choose(history, "28d")
    page.set_viewport_size({"width": width, "height": height})
    below = page.evaluate(
        """[...document.querySelectorAll("#trust-line, #headline .tile, #chart-days svg")]
        .map((part) => part.getBoundingClientRect().bottom)"""
    )
    assert len(below) == 1 + 4 + 1
    assert max(below) <= height
    assert page.evaluate("document.getElementById('tiles').getBoundingClientRect().top") > max(below)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.set_viewport_size({"width": 1280, "height": 900})


def test_no_figure_is_shown_twice(history: OpenPage) -> None:
    choose(history, "28d")
    metrics = history.page.eval_on_selector_all("[data-metric]", "tiles => tiles.map(tile => tile.dataset.metric)")
    assert len(set(metrics)) == len(metrics) == 14
    assert not history.page.query_selector("#table-apps table"), "the only app has the figures of the tiles"


@pytest.mark.parametrize(
    ("preset", "days", "compared"),
    [
        ("7d", ("2026-02-09", "2026-02-15"), ("the week before", "2026-02-02", "2026-02-08")),
        ("28d", ("2026-01-19", "2026-02-15"), ("the 4 weeks before", "2025-12-22", "2026-01-18")),
        ("91d", ("2025-11-17", "2026-02-15"), ("the 13 weeks before", "2025-08-18", "2025-11-16")),
        ("last-month", ("2026-01-01", "2026-01-31"), ("the month before", "2025-12-01", "2025-12-31")),
        ("mtd", ("2026-02-01", "2026-02-15"), ("the same days of the month before", "2026-01-01", "2026-01-15")),
    ],
)
def test_preset_is_compared_with_the_weeks_or_month_before(
    history: OpenPage, preset: str, days: tuple[str, str], compared: tuple[str, str, str]
) -> None:
    scope = choose(history, preset)
    assert [history.page.input_value(f"#{end}") for end in ("from", "to")] == list(days)
    assert f"compared with {compared[0]}, " in scope
    now, before = (history.query(HOURS.format(*ends))[0] for ends in (days, compared[1:]))
    change = 100 * (now - before) / before
    tile = history.text("[data-metric=viewer_hours]")
    assert history.tile("viewer_hours") == f"{now:,.1f} h"
    assert f"{'▲ +' if change > 0 else '▼ −'}{abs(change):,.1f} %, before {before:,.1f} h" in tile


def test_chosen_dates_are_compared_by_weekday_month_or_year(history: OpenPage) -> None:
    for days, compared in (
        (("2026-02-02", "2026-02-11"), "the same weekdays, 2 weeks earlier, 19–28 Jan 2026"),
        (("2026-02-03", "2026-02-03"), "the same weekdays, a week earlier, 27 Jan 2026"),
        (("2025-12-01", "2026-01-31"), "the 2 months before, 1 Oct – 30 Nov 2025"),
        (("2025-02-10", "2026-02-10"), "the same dates of the year before, 10 Feb 2024 – 10 Feb 2025"),
    ):
        history.show_days(*days)
        assert f"compared with {compared}" in history.text("#scope")


def test_comparison_with_unknown_days_is_explained_once_without_a_number(history: OpenPage) -> None:
    scope = choose(history, "year")
    assert "16 Feb 2025 – 15 Feb 2026 (365 days, UTC)" in scope
    assert "the year before, 16 Feb 2024 – 15 Feb 2025, of which 242 of 366 days known: no change is shown" in scope
    tiles = history.text("#headline") + history.text("#tiles")
    assert "before" not in tiles
    assert "%," not in tiles
    history.show_days("2025-05-26", "2025-06-08")
    assert (
        "compared with the 2 weeks before, 12–25 May 2025; no change is shown, as 7 of 14 days known"
        in history.text("#scope")
    )
    assert choose(history, "all").endswith("not compared")
    assert "before" not in history.text("#headline") + history.text("#tiles")


def test_what_is_known_is_stated_at_the_top_and_marked_beside_each_figure(history: OpenPage) -> None:
    history.show_days("2024-06-10", "2024-06-30")
    assert "9 days not loaded" in history.text("#trust-line")
    assert "no day missing" not in history.text("#trust-line")
    assert "12 of 21 days known" in history.text("#headline")
    assert "known" not in history.text("#tiles")
    values = history.page.eval_on_selector_all("#tiles .value", "tiles => tiles.map(tile => tile.innerText)")
    assert len(values) == 10
    assert all(value.endswith("~") for value in values)


def test_this_month_ends_with_days_that_are_not_loaded_yet(history: OpenPage) -> None:
    scope = choose(history, "month")
    assert "1–28 Feb 2026 (28 days, UTC)" in scope
    assert "no change is shown, as 15 of 28 days known" in scope
    assert texts(history, "#chart-days .role-mark.mark-text text") == [], (
        "the rest of the month is not unknown, but to come"
    )
    assert "15 of 28 days known" in history.text("[data-metric=viewer_hours]")
    assert "15 of 15 days match" in history.text("#trust-line")
    assert "never loaded" not in history.text("#answer")
    assert [row[:3] for row in history.table("coverage")] == [["app", "all", "15"]]


def test_address_keeps_the_preset_and_chosen_dates(history: OpenPage) -> None:
    choose(history, "91d")
    assert "range=91d" in history.page.url
    assert "from=" not in history.page.url
    history.page.reload()
    history.page.wait_for_selector(DRAWN)
    history.requests.pop()
    assert history.page.get_attribute("#ranges [aria-pressed=true]", "data-range") == "91d"
    history.show_days("2026-01-02", "2026-01-03")
    assert "from=2026-01-02&to=2026-01-03" in history.page.url
    assert "range=" not in history.page.url
    assert not history.page.query_selector("#ranges [aria-pressed=true]")


def test_a_year_is_drawn_by_week_and_longer_ranges_by_month(history: OpenPage) -> None:
    choose(history, "year")
    assert "by week" in history.text("#days-caption")
    # 16 Feb 2025 is a Sunday, so that only the first week is cut off
    assert len(history.page.query_selector_all(BARS.format("peaks"))) == 53 - 2 + 2  # two weeks are unknown: two bands
    points = "#chart-waits .role-mark.mark-symbol path"
    assert history.page.query_selector_all(points)
    assert not history.page.query_selector_all(f"{points}:not([opacity='0'])")
    years = [label for label in texts(history, LABELS.format("peaks")) if label.startswith(("Feb", "Mar", "Jan"))]
    assert years[0] in {"Feb2025", "Mar2025"}
    assert "Jan2026" in years
    assert texts(history, "#chart-days .role-mark.mark-text text") == ["?"], "once for neighbouring weeks"
    weekly = history.query(HOURS.format("2025-03-03", "2025-03-09"))[0]
    labels = history.page.eval_on_selector_all(BARS.format("days"), "bars => bars.map(bar => bar.ariaLabel)")
    assert f"3–9 Mar 2025, {weekly:,.1f} viewer hours" in labels
    history.page.set_viewport_size({"width": 390, "height": 844})
    choose(history, "all")
    assert "by month" in history.text("#days-caption")
    assert history.page.get_attribute("#chart-peaks", "aria-label") == "Peak concurrent streams, by month"
    assert {"Jan2025", "Jan2026"} <= set(texts(history, LABELS.format("days"))), "of few labels, those with the year"
    history.page.set_viewport_size({"width": 1280, "height": 900})
    monthly = history.query(HOURS.format("2025-03-01", "2025-03-31"))[0]
    labels = history.page.eval_on_selector_all(BARS.format("days"), "bars => bars.map(bar => bar.ariaLabel)")
    assert f"1–31 Mar 2025, {monthly:,.1f} viewer hours" in labels


def test_ranges_without_figures_have_no_blank_chart(history: OpenPage) -> None:
    history.show_days(*(day.isoformat() for day in SILENT))
    assert history.text("#chart-days") == "Zero on all known days of this period."
    assert history.text("#chart-failures") == "No session failed on the known days of this period."
    assert history.text("#chart-waits") == "No known session of this period reports both times."
    history.show_days("2025-06-03", "2025-06-05")
    assert history.text("#chart-days") == "Not known in this period."
    assert history.text("#table-top") == "Top 12 by viewer hours: not known in this period."
    assert history.text("#table-messages") == "Failed sessions by message: not known in this period."
    assert "0 of 3 days" not in history.text("#tiles"), "unknown says it"
    history.show_days("2030-01-01", "2030-01-31")
    assert (
        history.text("#usage").strip()
        == "None of these days is loaded. The page has figures of 19 Jun 2024 – 15 Feb 2026."
    )
    assert not history.page.query_selector("#chart-days svg")
    choose(history, "28d")
    assert history.page.query_selector("#chart-days svg")


def test_a_chart_without_its_neighbour_takes_the_whole_width(history: OpenPage) -> None:
    width = "document.querySelector('#chart-peaks svg').getBoundingClientRect().width"
    choose(history, "28d")
    beside = history.page.evaluate(width)
    choose(history, "7d")
    assert not history.page.is_visible("#chart-weekdays")
    assert history.page.evaluate(width) > 1.8 * beside


def test_one_day_has_no_charts_by_day_and_right_singulars(browser: Any, tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, ("app",), days=1)
    with opened(browser, write_page_of(published, tmp_path / "report.html")) as seen:
        assert seen.page.get_attribute("#ranges [aria-pressed=true]", "data-range") == "all"
        assert "28 Feb 2026 (1 day, UTC)" in seen.text("#scope")
        assert seen.tile("peak") == "1 stream"
        shown = [figure.is_visible() for figure in seen.page.query_selector_all("figure")]
        assert shown.count(True) == 1, "the top livestreams"
        axes = chain.from_iterable(texts(seen, LABELS.format(name)) for name in ("days", "waits", "peaks"))
        assert list(axes) == []

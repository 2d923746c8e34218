"""The page open in a real Chromium, which is found on PATH or at LIVEHOUSE_CHROMIUM; nothing is installed or fetched."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
CHROMIUM = os.environ.get("LIVEHOUSE_CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: `apt-get install chromium`")

SWITCHES = ("disable-gpu", "disable-background-networking", "disable-component-update", "disable-sync", "no-first-run")
ARGUMENTS = [f"--{switch}" for switch in ("no-sandbox", *SWITCHES)]
DRAWN = "html[data-state=drawn]"
USAGE = """SELECT sum(viewer_seconds) / 3600, sum(ingest_seconds) / 3600, sum(sessions), sum(failed_sessions),
    sum(viewer_seconds) / sum(ingest_seconds), 100 * sum(failed_sessions) / sum(sessions), sum(recordings),
    sum(meeting_minutes) FROM marts.daily_usage WHERE {}"""


@dataclass
class OpenPage:
    """A page open in the browser, what it logged and what it requested."""

    page: Any
    published: Path
    """The warehouse that it shows."""
    logged: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def query(self, sql: str) -> tuple[Any, ...]:
        """Return the single row of a query on the warehouse."""
        with duckdb.connect(self.published, read_only=True) as connection:
            [row] = connection.execute(sql).fetchall()
            return tuple(row)

    def tile(self, metric: str) -> str:
        """Return the text of a tile's value."""
        return str(self.page.inner_text(f'[data-metric="{metric}"] .value')).replace("\n", " ")

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector)).replace("\u00a0", " ")

    def table(self, name: str) -> list[list[str]]:
        """Return the first lines of each cell of a table, row by row."""
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

    def show_days(self, first: str, last: str) -> None:
        """Choose a range of days, with one update of the page."""
        self.page.evaluate(f"document.getElementById('from').value = '{first}'")
        self.page.fill("#to", "")  # so that filling it is a change
        self.page.fill("#to", last)
        self.page.wait_for_selector(DRAWN)


@contextmanager
def launched() -> Iterator[Any]:
    """Start a browser and stop it at the end."""
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Any, report: Path, *, width: int = 1280, scheme: str = "light") -> Iterator[OpenPage]:
    """Open a report that lies beside its warehouse; afterwards, assert that it logged nothing and requested nothing else."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True, reduced_motion="reduce"
    )
    page = context.new_page()
    seen = OpenPage(page, report.with_name("warehouse.duckdb"))
    page.on("console", lambda message: seen.logged.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.logged.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.goto(report.as_uri())
    if "Nothing is loaded yet" not in page.inner_text("body"):
        page.wait_for_selector(DRAWN, timeout=20_000)
    yield seen
    context.close()
    assert seen.logged == []
    assert seen.requests == [report.as_uri()]

"""`livehouse explore` in Chromium, started by its command: an example, queries, errors, downloads, and requests that are refused."""

import io
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl
import pytest

from tests.pipeline_runner import LoadedWarehouse
from tests.ui.serving import CHROMIUM, PATIENCE, browser, descendants, left_running, served_by_command

pytest.importorskip("marimo", reason="the extra `explore` is not installed")
pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
pytestmark = [
    pytest.mark.long,
    pytest.mark.file_only,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: `apt-get install chromium`"),
]

SECRET = "the-token-of-the-account"
HOSTILE = "select '=1+1' as formula, '<img src=x onerror=document.title=1>' as \"<img src=x onerror=document.title=2>\", 'https://example.com/a.png' as image, 7 as n"


def start_explore(home: Path) -> AbstractContextManager[tuple[str, "subprocess.Popen[bytes]"]]:
    return served_by_command("explore", home, home.parent, CLOUDFLARE_API_TOKEN=SECRET)


@pytest.fixture(scope="module")
def served(loaded_once: LoadedWarehouse) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    with start_explore(loaded_once.settings.home) as explore:
        yield explore


@pytest.fixture(scope="module")
def page(served: tuple[str, "subprocess.Popen[bytes]"]) -> Iterator[Any]:
    with browser() as chromium:
        opened = chromium.new_page(accept_downloads=True)
        opened.set_default_timeout(PATIENCE * 1000)
        opened.blocked, opened.loaded = [], []
        opened.on("requestfailed", lambda request: opened.blocked.append((request.url, request.failure)))
        opened.on("requestfinished", lambda request: opened.loaded.append(request.url))
        opened.goto(served[0])
        yield opened


def download(page: Any, label: str) -> bytes:
    with page.expect_download() as begun:
        page.get_by_text(label, exact=True).click()
    return Path(begun.value.path()).read_bytes()


def run_query(page: Any, text: str) -> None:
    page.get_by_role("tab", name="SQL").click()
    editor = page.locator(".cm-content").first
    editor.click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.insert_text(text)
    page.get_by_text("Run", exact=True).click()


def test_an_example_runs_with_its_parameters(page: Any, loaded_once: LoadedWarehouse) -> None:
    with duckdb.connect(loaded_once.settings.warehouse, read_only=True) as connection:
        month = str(connection.execute("SELECT max(month) FROM marts.monthly_usage").fetchall()[0][0])
        expected = connection.execute(
            "SELECT sessions FROM marts.monthly_usage WHERE month = ? ORDER BY app_id", [month]
        ).fetchall()
    page.get_by_label("month (YYYY-MM)").first.fill(month[:7])
    page.get_by_text("Run", exact=True).click()
    frame = pl.read_parquet(io.BytesIO(download(page, "Parquet")))
    assert expected
    assert frame.select("sessions").rows() == expected
    page.locator("svg.marks, canvas.marks").first.wait_for()


def test_a_question_of_the_users_own_needs_no_sql(page: Any, loaded_once: LoadedWarehouse) -> None:
    with duckdb.connect(loaded_once.settings.warehouse, read_only=True) as connection:
        expected = connection.execute(
            "SELECT day, sum(sessions) FROM marts.daily_usage WHERE app_id = 'aula' GROUP BY day ORDER BY day"
        ).fetchall()
    page.get_by_role("tab", name="Your question").click()
    page.get_by_placeholder("any").fill("aula")
    page.get_by_text("Run", exact=True).click()
    frame = pl.read_parquet(io.BytesIO(download(page, "Parquet")))
    assert expected
    assert frame.select("day", "sessions_sum").rows() == expected
    page.locator("svg.marks, canvas.marks").first.wait_for()


def test_hostile_text_stays_text_and_downloads_are_safe(page: Any) -> None:
    run_query(page, HOSTILE)
    page.get_by_text("=1+1").first.wait_for()
    text = download(page, "CSV").decode("utf-8-sig")
    assert "'=1+1" in text
    assert pl.read_parquet(io.BytesIO(download(page, "Parquet")))["formula"].to_list() == ["=1+1"]
    assert page.title() == "livehouse"
    ours = (page.evaluate("location.origin"), "data:", "blob:")
    assert [url for url in page.loaded if not url.startswith(ours)] == [], "nothing is loaded from other hosts"
    assert {failure for url, failure in page.blocked if not url.startswith(ours)} == {"csp"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("selec 1", "Parser Error"),
        ("from marts.daily_usag", "did you mean 'marts.daily_usage'"),
        ("create table x as select 1", "CREATE is refused, queries only read"),
        ("from read_text('/etc/passwd')", "the table function read_text is refused"),
    ],
)
def test_an_error_is_one_line(page: Any, query: str, message: str) -> None:
    run_query(page, query)
    page.get_by_text(message).first.wait_for()
    assert "Traceback" not in page.inner_text("body")


def test_every_table_is_described(page: Any) -> None:
    page.get_by_role("tab", name="Tables").click()
    page.get_by_text("marts.daily_usage", exact=True).first.wait_for()


def test_without_the_token_or_from_another_site_nothing_is_served(served: tuple[str, Any]) -> None:
    address, _ = served
    place, _, token = address.partition("?token=")
    cookie = {"authorization": f"Bearer {token}"}
    assert httpx.get(place).status_code == 401
    assert httpx.get(place, headers=cookie).status_code == 200
    assert httpx.get(place, headers=cookie | {"host": "evil.test"}).status_code == 421
    assert httpx.get(place, headers=cookie | {"origin": "http://evil.test"}).status_code == 403
    run = httpx.post(f"{place}api/kernel/run", headers=cookie, json={"cellIds": ["a"], "codes": ["1"]})
    assert run.status_code in {401, 403, 405}, "no code is run"


def test_the_server_has_no_secret_of_runs(served: tuple[str, "subprocess.Popen[bytes]"]) -> None:
    assert SECRET.encode() not in Path(f"/proc/{served[1].pid}/environ").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_it_ends_with_its_queries(number: signal.Signals, loaded: LoadedWarehouse, page: Any) -> None:
    with start_explore(loaded.settings.home) as (address, explore):
        page = page.context.browser.new_page()
        page.goto(address)
        run_query(page, "select count(*) from range(10_000_000) a, range(10_000_000) b where hash(a, b) = 1")
        deadline = time.monotonic() + PATIENCE
        while not (queries := descendants(explore.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert queries
        explore.send_signal(number)
        assert explore.wait(timeout=60) == 0
        assert left_running(queries) == []

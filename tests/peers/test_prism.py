"""prism serves the vendor's document: livehouse against a third-party server."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from pipelines.settings.settings import Settings
from tests.openapi_requests import DOCUMENT
from tests.peers.conftest import installed
from tests.pipeline_runner import DAYS, query
from tests.promises.fault_runner import run_cli

LIVESTREAM = "b60ef3da-fbbb-441b-9168-8235b0035248"
MEETING = "bbb87945-df1c-49d9-8159-262a7ae6cfde"
FIRST, LAST = (f"{day}" for day in DAYS)
COMMANDS = (
    ("doctor",),
    ("backfill", FIRST, LAST, "--quiet"),
    ("nightly", "--quiet"),
    ("on-air",),
    ("api", "list-livestreams"),
    ("api", "get-livestream", LIVESTREAM),
    ("api", "get-session", LIVESTREAM),
    ("api", "get-active-session", LIVESTREAM),
    ("api", "get-meeting-livestream", MEETING),
    ("api", "get-overall-analytics", FIRST, LAST),
    ("api", "get-daywise-analytics", FIRST, LAST),
    ("api", "create-livestream", "--name", "mine"),
    ("api", "start-livestream", MEETING),
    ("api", "stop-livestream", MEETING),
)


@contextmanager
def prism(*options: str) -> Iterator[str]:
    """Serve the document with prism; yield its URL."""
    program = installed("@stoplight/prism-cli").parents[1] / ".bin" / "prism"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [f"{program}", "mock", "-p", f"{port}", *options, f"{DOCUMENT}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    httpx.get(url)
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


def environment(url: str, home: Path) -> dict[str, str]:
    return {
        "CLOUDFLARE_API_TOKEN": "a-token-that-prism-does-not-check-0123456",
        "CLOUDFLARE_ACCOUNT_ID": "0123456789abcdef0123456789abcdef",
        "REALTIMEKIT_APP_ID": "aula",
        "CLOUDFLARE_BASE_URL": url,
        "LIVEHOUSE_HOME": f"{home}",
        "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
        "LIVEHOUSE_RETRY_PAUSE_SECONDS": "0.002",
    }


def run_successfully_or_explain(url: str, home: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command; it succeeds or prints an error line. Return exit status, stdout and stderr."""
    status, out, err = run_cli(environment(url, home), *arguments)
    assert status in {0, 1}, (arguments, err)
    assert "Traceback" not in out + err, (arguments, err)
    assert "fault of livehouse itself" not in out + err, (arguments, err)
    assert (status == 0) or err or "FAIL" in out, (arguments, "an error without a message")
    assert environment(url, home)["CLOUDFLARE_API_TOKEN"] not in out + err
    return status, out, err


def test_static_mock_is_understood(tmp_path: Path) -> None:
    """The mock returns the document's example for every request."""
    with prism() as url:
        home = tmp_path / "home"
        for arguments in COMMANDS:
            status, _, err = run_successfully_or_explain(url, home, *arguments)
            # The example of *daywise* is about 2023, whichever days are requested: livehouse reports that as no answer.
            is_about_other_days = arguments[0] in {"backfill", "nightly"} and "answered with other days only" in err
            assert status == 0 or is_about_other_days, (arguments, err)


def test_backfill_of_the_example_days_loads(tmp_path: Path) -> None:
    with prism() as url:
        given = environment(url, tmp_path / "home") | {"LIVEHOUSE_START_DATE": "2023-07-01"}
        status, _, err = run_cli(given, "backfill", "2023-10-16", "2023-10-18", "--quiet")
        assert status == 0, err  # prism uses the system clock, which is reported
        rows = "SELECT day::VARCHAR, session_count, session_minutes FROM core.meeting_sessions_daily ORDER BY day"
        settings = Settings(**given)  # type: ignore[arg-type]  # read by alias, as from the environment
        assert query(settings, rows)[-2:] == [("2023-10-17", 2, 221.0), ("2023-10-18", 2, 22.5)]
        overall = "SELECT DISTINCT livestream_count, ingest_seconds FROM core.livestream_analytics_daily"
        assert query(settings, overall) == [(4, 531.0)]


@pytest.mark.parametrize("seed", ["1", "7"])
def test_dynamic_mock_succeeds_or_prints_errors(seed: str, tmp_path: Path) -> None:
    """The mock generates values from the schemas, including `"success": false`."""
    with prism("--dynamic", "--seed", seed) as url:
        for arguments in COMMANDS:
            run_successfully_or_explain(url, tmp_path / "home", *arguments)

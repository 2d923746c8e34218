"""`livehouse doctor` reports each fault in one line with its remedy, and changes nothing."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer

import duckdb
import pytest

from pipelines.simulator.dialects import TODAY
from pipelines.simulator.server import Simulator
from pipelines.storage.file_warehouse import FileWarehouse
from tests.fixed_clock import NOW, clock_set_to
from tests.intercepting_proxy import (
    Rule,
    intercept,
    refuse_large_pages,
    refuse_livestream_daywise,
    refuse_path,
    refuse_unix_times,
)
from tests.parameters import long_except
from tests.pipeline_runner import environment_for, run_pipeline, settings_for, small_world
from tests.promises.fault_runner import run_cli
from tests.serving import serve_in_thread
from tests.storage.conftest import Program
from tests.storage.test_lock import HOLD


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Path]]:
    takes_both = replace(TODAY, times="both")  # what is in front of it takes less
    world = small_world(apps=("aula",), livestreams=4, sessions=12)
    with Simulator(world, dialect=takes_both) as simulator, clock_set_to(NOW):
        home = tmp_path_factory.mktemp("doctor") / "home"
        run_pipeline(settings_for(simulator, home))
        yield simulator, home


@pytest.fixture
def at(loaded: tuple[Simulator, Path], tmp_path: Path) -> dict[str, str]:
    """The environment of a home that is well."""
    shutil.copytree(loaded[1], tmp_path / "home")
    return environment_for(loaded[0], tmp_path / "home")


def examined(environment: dict[str, str], status: int) -> str:
    found, out, err = run_cli(environment, "doctor")
    assert (found, err) == (status, ""), out
    assert "Traceback" not in out
    assert environment["CLOUDFLARE_API_TOKEN"] not in out
    return out


def home_of(environment: dict[str, str]) -> Path:
    return Path(environment["LIVEHOUSE_HOME"])


def test_all_is_well_and_nothing_is_touched(at: dict[str, str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in home_of(at).glob("*.duckdb")}
    report = examined(at, 0)
    assert "warn" not in report
    assert {path: path.stat().st_mtime_ns for path in home_of(at).glob("*.duckdb")} == before


@pytest.mark.parametrize(
    ("given", "status", "expected"),
    [
        ({"REALTIMEKIT_APP_ID": ""}, 2, "REALTIMEKIT_APP_ID is not set"),
        ({"LIVEHOUSE_CONCURRENCY": "x"}, 2, "LIVEHOUSE_CONCURRENCY is malformed"),
        ({"LIVEHOUSE_WAREHOUSE": "core.duckdb"}, 2, "cannot be named core.duckdb"),
        ({"CLOUDFLARE_API_TOKEN": "wrong-token-0123"}, 1, "401: Authentication error"),
        pytest.param(
            {"CLOUDFLARE_API_TOKEN": "wrong-token-0123"},
            1,
            "the token is wrong, expired or revoked",
            marks=pytest.mark.long,
        ),
        pytest.param({"REALTIMEKIT_APP_ID": "nobody"}, 1, "404: App not found", marks=pytest.mark.long),
        ({"CLOUDFLARE_BASE_URL": "http://127.0.0.1:1"}, 1, "nothing answers there"),
        ({"CLOUDFLARE_BASE_URL": "https://nowhere.invalid"}, 1, "unknown host: "),
    ],
)
def test_settings_token_and_reachability(given: dict[str, str], status: int, expected: str, at: dict[str, str]) -> None:
    assert expected in examined(at | given, status)


@pytest.mark.file_only
def test_little_space_is_a_warning(at: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    left = shutil.disk_usage(home_of(at))._replace(free=500 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: left)
    report = examined(at, 0)
    assert "500 MiB free" in report
    assert "free 1024 MiB: publishing writes a copy" in report


def test_no_trusted_connection(loaded: tuple[Simulator, Path], at: dict[str, str]) -> None:
    address = f"https://127.0.0.1:{loaded[0].port}"  # where nobody speaks TLS
    assert "no trusted connection" in examined(at | {"CLOUDFLARE_BASE_URL": address}, 1)


@pytest.mark.parametrize(
    "proxy", ["http://user:hidden-word", "ftp://user:hidden-word@x:1", "socks5://u:hidden-word@x:1"]
)
def test_an_unusable_proxy_is_reported_without_its_password(
    proxy: str, at: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    report = examined(
        at | {"CLOUDFLARE_BASE_URL": "https://nowhere.invalid", "HTTPS_PROXY": proxy, "https_proxy": proxy}, 2
    )
    assert "HTTPS_PROXY" in report
    assert "hidden-word" not in report


def test_a_token_without_the_permission(tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=1, sessions=1), permitted=False) as simulator:
        report = examined(environment_for(simulator, tmp_path / "home"), 1)
    assert "403" in report
    assert "give the token the *Realtime* permission" in report


@pytest.mark.file_only
def test_each_nightly_operation_is_requested_once_with_its_page_size(
    loaded: tuple[Simulator, Path], at: dict[str, str]
) -> None:
    simulator, _ = loaded
    simulator.requests.clear()
    report = examined(at, 0)
    assert max(Counter(requested.operation for requested in simulator.requests).values()) == 1
    requested = {requested.operation for requested in simulator.requests}
    assert requested >= {"list-livestreams", "get-livestream", "get-overall-analytics", "get-daywise-analytics"}
    assert requested >= {"get-livestream-daywise-analytics", "get-active-session", "get-session"}
    pages = [requested.query["per_page"] for requested in simulator.requests if "per_page" in requested.query]
    assert pages == ["100", "100"]
    assert "dialect: times in Unix seconds; 100 rows per page; livestreams/daywise offered" in report
    assert "clock: " in report


@pytest.mark.long
@pytest.mark.file_only
@pytest.mark.parametrize(
    ("rule", "status", "expected"),
    [
        (refuse_unix_times, 0, "times in ISO 8601"),
        (refuse_large_pages(50), 0, "50 rows per page"),
        (refuse_path("/analytics/livestreams/overall", 400, "no such range"), 1, "get-overall-analytics: GET"),
        (refuse_path("/analytics/livestreams/daywise", 403, "no access"), 0, "warn  app aula, get-livestream-daywise"),
        *long_except(
            [
                (refuse_livestream_daywise, 0, "livestreams/daywise not offered"),
                (refuse_path("/livestreams/daywise", 501, "no such thing"), 0, "livestreams/daywise not offered"),
                (refuse_path("/analytics/daywise", 403, "no access"), 1, "get-daywise-analytics: GET"),
                (refuse_path("/active-livestream-session", 500, "internal"), 0, "warn  app aula, get-active-session"),
            ]
        ),
    ],
)
def test_dialect_and_refused_operations_are_reported(
    rule: Rule, status: int, expected: str, loaded: tuple[Simulator, Path], at: dict[str, str]
) -> None:
    with intercept(loaded[0], rule) as served:
        assert expected in examined(at | {"CLOUDFLARE_BASE_URL": served.base_url}, status)


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """The address of a server that gives this reply to everything, and not a byte besides."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().strip():
                pass
            self.wfile.write(reply)

    server = TCPServer(("127.0.0.1", 0), Handler)
    with serve_in_thread(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.long
@pytest.mark.parametrize(
    ("head", "status", "expected"),
    [
        ("200 OK\r\nDate: Mon, 02 Jan 2023 00:00:00 GMT", 0, "ahead of the API's clock\n      → set the clock"),
        (
            '200 OK\r\nRatelimit: "default";r=3;t=200',
            0,
            "3 requests left by the API's own count\n      → another program",
        ),
        ("429 Too Many\r\nRetry-After: 300", 1, "used up: the API requests a wait of 300 s"),
        ("302 Found\r\nLocation: https://elsewhere.example", 1, "302"),
    ],
)
def test_clock_and_budget(head: str, status: int, expected: str, at: dict[str, str]) -> None:
    body = b'{"success": true, "data": []}'
    reply = f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    with answering(reply) as address:
        assert expected in examined(at | {"CLOUDFLARE_BASE_URL": address}, status)


@pytest.mark.file_only
def test_who_holds_the_lock(at: dict[str, str]) -> None:
    other = Program(HOLD, home_of(at) / "pipeline.lock")
    assert other.line() == "ready"
    try:
        assert f"lock: held by PID {other.process.pid}" in examined(at, 0)
    finally:
        other.kill()


@pytest.mark.long
@pytest.mark.file_only
@pytest.mark.parametrize(
    ("name", "damage"),
    long_except(
        product(["pipeline.duckdb", "pipeline_raw.duckdb", "warehouse.duckdb"], ["half", "empty", "garbled"]),
        ("pipeline.duckdb", "half"),
        ("pipeline_raw.duckdb", "garbled"),
        ("warehouse.duckdb", "empty"),
    ),
)
def test_a_damaged_file(name: str, damage: str, at: dict[str, str]) -> None:
    path = home_of(at) / name
    size = path.stat().st_size
    if damage == "garbled":
        with path.open("r+b") as file:  # from behind its three heads on
            file.seek(3 * 4096)
            file.write(os.urandom(size - 3 * 4096))
    else:
        os.truncate(path, size // 2 if damage == "half" else 0)
    report = examined(at, 0 if name == "warehouse.duckdb" else 1)
    assert "is damaged" in report
    assert {"pipeline.duckdb": "copy warehouse.duckdb", "pipeline_raw.duckdb": "from a backup"}.get(
        name, "nightly"
    ) in report


@pytest.mark.file_only
def test_raw_is_missing(at: dict[str, str]) -> None:
    (home_of(at) / "pipeline_raw.duckdb").unlink()
    assert "pipeline_raw.duckdb is missing" in examined(at, 1)


@pytest.mark.long
@pytest.mark.file_only
def test_a_copy_that_is_older_than_the_last_run(at: dict[str, str]) -> None:
    with duckdb.connect(home_of(at) / "pipeline.duckdb") as connection:
        connection.execute("UPDATE ops.loads SET finished_at = finished_at + INTERVAL 1 HOUR")
    assert "a run ended before it published" in examined(at, 0)


@pytest.mark.long
@pytest.mark.file_only
def test_schemas_of_other_versions(at: dict[str, str]) -> None:
    with duckdb.connect(home_of(at) / "pipeline.duckdb") as connection:
        connection.execute("ALTER TABLE ops.loads DROP COLUMN note")
    report = examined(at, 0)
    assert "pipeline.duckdb: from an older version: lacks ops.loads.note\n      → the next run adds it" in report
    with duckdb.connect(home_of(at) / "pipeline.duckdb") as connection:
        connection.execute("ALTER TABLE ops.loads ADD COLUMN note VARCHAR")
        connection.execute("ALTER TABLE core.livestream_sessions ADD COLUMN codec VARCHAR")
    assert "has columns that livehouse does not know: core.livestream_sessions.codec" in examined(at, 0)


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "command"),
    long_except(
        product(["pipeline.duckdb", "pipeline_raw.duckdb"], ["nightly", "backfill", "rebuild"]),
        ("pipeline.duckdb", "nightly"),
    ),
)
def test_a_schema_of_a_newer_livehouse_is_refused_before_any_request(
    at: dict[str, str], file: str, command: str
) -> None:
    with duckdb.connect(home_of(at) / file) as connection:
        connection.execute("INSERT INTO ops.schema_versions VALUES (999, '9.9.0', TIMESTAMP '2030-01-01')")
    refusal = f"{file.removesuffix('.duckdb')} has schema version 999, applied by livehouse 9.9.0"
    assert f"{file}: {refusal}" in examined(at, 1)
    at |= {"CLOUDFLARE_BASE_URL": "http://127.0.0.1:9"}  # a request would fail as one
    days = [] if command == "nightly" else ["2026-01-01", "2026-01-02"]
    status, out, err = run_cli(at, command, *days, "--quiet")
    assert (status, out) == (1, "")
    assert [line for line in err.splitlines() if refusal in line] == err.splitlines()[:1] == err.splitlines()


@pytest.mark.long
def test_answers_of_the_future_are_reported(tmp_path: Path) -> None:
    """A machine whose clock was ahead: the order of landing decides, but the clock must be set."""
    at = {"LIVEHOUSE_HOME": str(tmp_path)}
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb")
    for landed_at, is_reported in (("2999-01-01", True), ("2020-01-01", False)):
        with warehouse.open_raw() as raw, warehouse.open_working():
            raw.execute("INSERT OR REPLACE INTO ops.landings VALUES ('landing', 1, ?::TIMESTAMP)", [landed_at])
        found = run_cli(at, "doctor")[1]
        assert ("clock: raw has replies received at 2999-01-01 00:00 UTC" in found) is is_reported, found

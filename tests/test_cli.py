"""The command line, through its real entry point: exit status, what goes to stdout, what goes to stderr.

As a program where the entry point, a signal or a shell is what matters; else `main()` is called here, which spares the imports.
"""

import csv
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pipelines.cli import COMMANDS
from pipelines.simulator.server import Simulator
from pipelines.storage.file_warehouse import FileWarehouse
from tests.pipeline_runner import APPS, FIRST, LAST, assert_matches_world, environment_for, settings_for, small_world
from tests.promises.fault_runner import run_cli
from tests.promises.test_secrets import leaks
from tests.terminals import run_cli_on_terminal, run_on_terminal

LIVEHOUSE = Path(sys.executable).with_name("livehouse")
ACCOUNT = {"CLOUDFLARE_API_TOKEN", "CLOUDFLARE_ACCOUNT_ID", "REALTIMEKIT_APP_ID", "CLOUDFLARE_BASE_URL"}


def livehouse(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [LIVEHOUSE, *arguments], env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )


def assert_one_line(done: tuple[int, str, str], status: int) -> str:
    found, _, err = done
    assert found == status, err
    lines = err.strip().splitlines()
    assert len(lines) == 1, err
    assert "Traceback" not in err
    return lines[0]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """An account of no more than is needed: every test here starts programs."""
    with Simulator(small_world(livestreams=12, sessions=80)) as served:
        yield served


def test_a_backfill_and_the_commands_that_read_it(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = environment_for(simulator, tmp_path / "home")
    command = [str(LIVEHOUSE), "backfill", f"{FIRST}", f"{LAST}", "--json"]
    status, written, seen = run_on_terminal(command, stdout=subprocess.PIPE, NO_COLOR="1", **environment)
    assert status == 0, seen
    assert re.search(r"aula sessions +━.* \d+/\d+ [\d.]+/s \d\d:\d\d", seen), "count, rate and time left"
    assert re.search(rf"backfill of {FIRST} to {LAST} +━.* \d+ %.* \d\d:\d\d", seen), "the whole run, and its time left"
    assert not re.search(r"\x1b\[[\d;]*[34]\d[\d;]*m", seen), "no colour"
    summary = json.loads(written)
    assert [app["app_id"] for app in summary["apps"]] == sorted(APPS)
    assert_matches_world(settings_for(simulator, tmp_path / "home"), simulator.world)
    span = "select epoch(max(finished_at) - min(started_at)) as seconds from ops.loads"
    [loads] = json.loads(run_cli(environment, "sql", span, "--format", "json")[1])
    assert summary["seconds"] > loads["seconds"], "the time on the clock: marts and publishing too"

    query = (
        "select app_id, count(*) as n, max(day) as day from core.livestream_sessions group by app_id order by app_id"
    )
    rows = json.loads(run_cli(environment, "sql", query, "--format", "json")[1])
    assert [row["app_id"] for row in rows] == sorted(APPS)
    as_csv = list(csv.DictReader(io.StringIO(run_cli(environment, "sql", query, "--format", "csv")[1])))
    assert [int(row["n"]) for row in as_csv] == [row["n"] for row in rows]
    assert_one_line(run_cli(environment, "sql", "drop table core.livestreams"), 1)
    _, answer, err = run_cli(environment, "sql", "--example", "8", "--format", "csv")
    assert answer.startswith("err_message,sessions,"), err
    tables = json.loads(run_cli(environment, "sql", "--tables", "--format", "json")[1])
    assert {"core.livestreams", "marts.daily_usage"} <= {row["table"] for row in tables if row["meaning"]}
    columns = json.loads(run_cli(environment, "sql", "--columns", "marts.daily_usage", "--format", "json")[1])
    assert [row["column"] for row in columns[:2]] == ["app_id", "day"]
    assert all(row["meaning"] for row in columns)
    status, out, _ = run_cli(environment, "doctor")
    assert status == 0, out
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    status, path, err = run_cli(environment, "report", "--open")
    assert status == 0, err
    assert opened == [path.strip()] == [f"{tmp_path / 'home' / 'report.html'}"]
    assert Path(path.strip()).read_text().startswith("<!")
    assert (tmp_path / "home" / "dagster" / "history").is_dir()
    assert leaks(tmp_path / "home", {simulator.token, *simulator.world.stream_keys()}, seen, written) == []


def test_upkeep_prints_sizes_with_a_header_and_units(tmp_path: Path) -> None:
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb")
    with warehouse.open_working(), warehouse.open_raw():
        """Create both files."""
    environment = {"LIVEHOUSE_HOME": str(tmp_path)}
    status, written, err = run_cli(environment, "upkeep")
    assert status == 0, err
    header, *rows = [line.split("\t") for line in written.splitlines()]
    assert header == ["table", "files", "bytes"]
    assert all(int(size) > 0 for _, _, size in rows)
    status, shown = run_cli_on_terminal(environment, "upkeep")
    assert status == 0
    assert re.search(r"table +files +size", re.sub(r"\x1b\[[\d;]*m", "", shown))
    assert re.search(r"pipeline.duckdb +1 +[\d.]+ [kM]B", shown)


def test_an_empty_home_leads_to_the_demo(tmp_path: Path) -> None:
    line = assert_one_line(run_cli({"LIVEHOUSE_HOME": str(tmp_path)}, "sql", "select 1"), 1)
    assert "nothing has been published yet; run `livehouse nightly`, or `livehouse demo`" in line


def test_api_masks_stream_keys_unless_requested_or_just_created(simulator: Simulator, tmp_path: Path) -> None:
    environment = environment_for(simulator, tmp_path, REALTIMEKIT_APP_ID=APPS[0])
    status, listed, err = run_cli(environment, "api", "list-livestreams")
    assert status == 0, err
    assert not [key for key in simulator.world.stream_keys() if key in listed]
    _, shown, _ = run_cli(environment, "api", "list-livestreams", "--show-keys")
    assert [key for key in simulator.world.stream_keys() if key in shown]
    made = json.loads(run_cli(environment, "api", "create-livestream", "--name", "new")[1])
    assert made["data"]["stream_key"] in simulator.world.stream_keys()
    missing = assert_one_line(run_cli(environment, "api", "get-session", "../nothing"), 1)
    assert "404" in missing


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [
        (["nightly"], {}, "CLOUDFLARE_API_TOKEN"),
        (["nightly"], {"LIVEHOUSE_CONCURRENCY": "many"}, "LIVEHOUSE_CONCURRENCY"),
        (["backfill", "2026-02-01", "2026-01-01"], {}, "START"),
        (["backfill", "2026-01-01", "2999-01-01"], {}, "future"),
        (["backfill", "yesterday", "today"], {}, "yesterday"),
        (["backfill", "2026-01-01", "2026-01-02", "--allow-shrink"], {}, "--full"),
        (["backfill", "2026-01-01"], {}, "END"),
        (["nightly", "--date", "20260101"], {}, "YYYY-MM-DD"),
        (["api", "get-overall-analytics", "2026-01-01", "x"], {}, "LAST_DAY"),
        (["sql"], {}, "query"),
        (["sql", "select 1", "--example", "3"], {}, "give one query"),
        (["sql", "--example", "no_such"], {}, "--examples"),
        (["sql", "--format", "xml", "select 1"], {}, "sql --help"),
        (["simulate", "--faults", "no_such_fault"], {}, "no_such_fault"),
        (["simulate", "--refuse", "no-such-operation"], {}, "no-such-operation"),
        (["simulate", "--refuse", "get-overall-analytics@2026-02-30"], {}, "2026-02-30"),
        (["simulate", "--dialect", "1999"], {}, "1999"),
        (["no-such-command"], {}, "no-such-command"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(arguments: list[str], environment: dict[str, str], named: str) -> None:
    assert named in assert_one_line(run_cli(environment, *arguments), 2)


def test_wrong_usage_of_the_program_is_one_line_and_status_2() -> None:
    done = livehouse("nightly")
    assert "CLOUDFLARE_API_TOKEN" in assert_one_line((done.returncode, done.stdout, done.stderr), 2)


@pytest.mark.parametrize(
    "command",
    [
        ("nightly",),
        ("backfill", "2026-01-01", "2026-01-02"),
        ("rebuild", "2026-01-01", "2026-01-02"),
        ("sql", "from core.livestreams"),
        ("report",),
        ("on-air",),
        ("upkeep",),
        ("ui",),
    ],
    ids=lambda command: command[0],
)
def test_an_address_as_warehouse_is_refused_before_anything_is_done(
    command: tuple[str, ...], simulator: Simulator, tmp_path: Path
) -> None:
    address = "postgresql://finance:hunter2@db.example/w"
    environment = environment_for(simulator, tmp_path / "home", LIVEHOUSE_WAREHOUSE=address)
    refused = run_cli(environment, *command)
    assert "LIVEHOUSE_WAREHOUSE is malformed: it takes " in assert_one_line(refused, 2)
    assert "hunter2" not in "".join(refused[1:])
    assert simulator.request_count() == 0
    assert list(tmp_path.iterdir()) == []


def test_simulate_prints_the_settings_that_point_to_it(tmp_path: Path) -> None:
    environment = os.environ | {"LIVEHOUSE_HOME": str(tmp_path)}
    with subprocess.Popen(
        [LIVEHOUSE, "simulate", "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            exports = [process.stdout.readline() for _ in ACCOUNT]
            given = dict(line.removeprefix("export ").strip().partition("=")[::2] for line in exports)
            assert set(given) == ACCOUNT
            app_id = given["REALTIMEKIT_APP_ID"].split(",")[0]
            assert run_cli(given, "api", "list-livestreams", "--app", app_id)[0] == 0
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for command in ("ui", "simulate"):
            port = str(taken.getsockname()[1])
            done = run_cli({"LIVEHOUSE_HOME": str(tmp_path)}, command, "--port", port)
            assert port in assert_one_line(done, 2)


def test_a_day_before_the_first_partition_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    environment = environment_for(simulator, tmp_path, LIVEHOUSE_START_DATE="2026-01-01")
    assert "LIVEHOUSE_START_DATE" in assert_one_line(run_cli(environment, "backfill", "2025-12-31", f"{LAST}"), 2)


def test_a_query_before_the_first_run_names_the_next_command() -> None:
    assert "livehouse nightly" in assert_one_line(run_cli({}, "sql", "select 1"), 1)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("sql --format ", {"table", "lines", "csv", "json", "parquet"}),
        ("nighly --", {"--version", "--help"}),  # those of the program: an error would land in the typed line
        *(
            pytest.param(typed, offered, marks=pytest.mark.long)
            for typed, offered in (
                ("ba", {"backfill"}),
                ("backfill --", {"--full", "--allow-shrink", "--json", "--quiet", "--help"}),
                ("api get-s", {"get-session"}),
            )
        ),
    ],
)
def test_bash_completes_commands_options_and_choices(typed: str, offered: set[str]) -> None:
    words = f"livehouse {typed}"
    script = f"""
        eval "$(_LIVEHOUSE_COMPLETE=bash_source {LIVEHOUSE})"
        COMP_WORDS=({words}{' ""' if words.endswith(" ") else ""}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
        _livehouse_completion {LIVEHOUSE}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert (set(done.stdout.split()), done.stderr) == (offered, "")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    status, out, _ = run_cli({}, command, "--help")
    assert status == 0
    assert out.startswith("Usage: livehouse " + command)


def test_help_is_answered_without_the_heavy_libraries() -> None:
    code = "import sys; from pipelines.cli import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    loaded = done.stdout.splitlines()[-1]
    assert not [name for name in ("dagster", "polars", "duckdb", "httpx", "rich", "pydantic") if f"'{name}'" in loaded]

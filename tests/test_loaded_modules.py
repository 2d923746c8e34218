"""The modules that each command imports: what it does not need costs each call time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pipelines.cli import COMMANDS
from pipelines.clock import utc_now
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.pipeline_runner import environment_for

PROGRAM = """
import json, os, sys
processes = []
sys.addaudithook(lambda event, args: processes.append(event) if event in {"subprocess.Popen", "os.fork"} and sys.executable in args else None)
import livehouse
for command in json.loads(sys.argv[1]):
    sys.argv = ["livehouse", *command]
    try:
        livehouse.main()
    except SystemExit as ended:
        assert not ended.code, ended.code
os.write(2, json.dumps([*sys.modules, *processes]).encode())
"""
LIBRARIES = {
    *("alembic", "altair", "dagster", "duckdb", "httpx", "jinja2", "polars", "psycopg", "pydantic_settings", "rich"),
    *("dagster._core.execution.backfill", "dagster._daemon.controller", "dagster.components", "fsspec"),
    *("mako", "pygments", "rich.progress", "structlog", "tqdm"),
    *("sqlalchemy", "sqlglot", "stamina", "uvicorn", "vl_convert"),
}


PROCESSES = {"subprocess.Popen", "os.fork"}


OF_A_RUN = {"dagster", "duckdb", "httpx", "jinja2", "polars", "pydantic_settings", "sqlalchemy"}


def load(home: Path, *commands: list[str], **environment: str) -> tuple[int, set[str]]:
    """Return how many modules these commands import in one process, and which of the libraries; also what starts processes."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)],
        env={"LIVEHOUSE_HOME": str(home), "PATH": "/usr/bin:/bin", **environment},
        cwd=Path(__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    names = set(json.loads(ran.stderr.splitlines()[-1]))
    return len(names), names & (LIBRARIES | PROCESSES)


def test_help_imports_no_library(tmp_path: Path) -> None:
    count, libraries = load(tmp_path, ["--help"], *([command, "--help"] for command in COMMANDS))
    assert not libraries
    assert count < 270  # each command adds its module


def test_a_query_imports_what_reads_a_file(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "warehouse.duckdb") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS x")
    count, libraries = load(tmp_path, ["sql", "--format", "csv", "from t"])
    assert libraries == {"duckdb", "pydantic_settings"}
    assert count < 420


@pytest.mark.long
def test_a_first_night_and_one_without_changes_parse_no_sql_and_build_no_chart(tmp_path: Path) -> None:
    world = World.seeded(1, apps=["a"], livestreams=3, sessions=9, days=3, now=utc_now())
    with Simulator(world) as simulator:
        clock = {name: os.environ[name] for name in os.environ if name == "PYTHONPATH" or name.startswith("TESTS_")}
        environment = environment_for(simulator, tmp_path, **clock)
        for _ in range(2):
            count, libraries = load(tmp_path, ["nightly", "--quiet"], **environment)
            assert libraries == OF_A_RUN
    assert count < 1_620, "a bare import of dagster, polars, duckdb and httpx: 1,214"


@pytest.mark.long
def test_a_demo_in_a_new_home_starts_no_process_parses_no_sql_and_draws_no_chart(tmp_path: Path) -> None:
    count, libraries = load(tmp_path, ["demo", "--days", "1", "--quiet"])
    assert libraries == OF_A_RUN | {"uvicorn"}, "alembic would have created the history, Altair the charts"
    assert count < 1_800

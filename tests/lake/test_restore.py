"""A dump of the catalog, restored as deploy/README.md describes it."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.diagnostics_lake import check_lake_files
from pipelines.errors import WarehouseError
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps.maintenance import KEEP_DAYS, keep_up
from pipelines.storage.warehouse import open_ducklake, open_warehouse
from tests.deploy.history import DEPLOY
from tests.fixed_clock import NOW
from tests.pipeline_runner import DAYS, assert_matches_world, run_pipeline, settings_for
from tests.postgres import Postgres, find_programs
from tests.promises.world_factory import change_everything, tiny_world


@pytest.fixture
def livehouse(postgres: Postgres) -> Iterator[str]:
    """The lakehouse in the database that the commands name."""
    postgres.execute("DROP DATABASE IF EXISTS livehouse WITH (FORCE)")  # of another test
    postgres.execute("CREATE DATABASE livehouse")
    yield f"ducklake:postgres:{postgres.conninfo('livehouse')}"
    postgres.execute("DROP DATABASE livehouse WITH (FORCE)")


def run_documented(program: str, directory: Path, postgres: Postgres, *, without: str = "") -> None:
    """Run the command of the README that uses a program, without the container."""
    [command] = re.findall(rf"`docker compose exec -T postgres\s({program} [^`]*)`", (DEPLOY / "README.md").read_text())
    place = {"PGHOST": f"{postgres.directory}", "PATH": f"{find_programs()}:{os.environ['PATH']}"}
    command = command.replace(without, "-d livehouse") if without else command
    subprocess.run(command, shell=True, check=True, cwd=directory, env=os.environ | place)


def load_more(lake: Settings) -> int:
    """Write what a newer version would, with a table that is new; return how many rows it has."""
    with open_warehouse(lake).open_working() as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS core.polls (day DATE)")
        connection.execute("INSERT INTO core.polls VALUES ('2026-06-16')")
        return len(connection.execute("FROM core.polls").fetchall())


@pytest.mark.long
def test_a_catalog_that_was_restored_over_a_newer_one_is_refused(
    livehouse: str, postgres: Postgres, tmp_path: Path
) -> None:
    """Its rows would be counted again, once the catalog has as many snapshots as before."""
    lake = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=livehouse)  # type: ignore[call-arg]  # read by alias
    open_warehouse(lake).open_working().__enter__()
    run_documented("pg_dump", tmp_path, postgres)
    assert load_more(lake) == 1
    run_documented("pg_restore", tmp_path, postgres, without="--create -d postgres")
    with pytest.raises(WarehouseError, match="was restored over a newer catalog, and ducklake_inlined_data_"):
        load_more(lake)
    run_documented("pg_restore", tmp_path, postgres)
    assert load_more(lake) == 1


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_backup_as_old_as_replaced_files_are_kept_is_complete(
    livehouse: str, postgres: Postgres, tmp_path: Path
) -> None:
    with Simulator(tiny_world(broken=False)) as simulator:
        settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_WAREHOUSE=livehouse)
        run_pipeline(settings, DAYS)
        run_documented("pg_dump", tmp_path, postgres)
        change_everything(simulator.world, NOW)
        run_pipeline(settings, DAYS, run_id="lost")
        keep_up(settings, keep_days=KEEP_DAYS)
        run_documented("pg_restore", tmp_path, postgres)
        [finding, *_] = check_lake_files(open_ducklake(settings))
        assert finding.state == "ok", finding
        run_pipeline(settings, DAYS, run_id="again")
        assert_matches_world(settings, simulator.world)

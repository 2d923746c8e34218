"""Files of a lakehouse that are lost: named by the doctor and by every command, forgotten and rebuilt by `livehouse mend`."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import psycopg
import pytest

from pipelines.cli.diagnostics_lake import check_lake_files
from pipelines.errors import AlreadyRunningError, WarehouseError
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps.maintenance import keep_up
from pipelines.steps.mend import mend
from pipelines.storage.catalog_branch import branch_catalog
from pipelines.storage.ducklake_errors import translate_lake_errors
from pipelines.storage.lake_files import find_damaged_files, forget_files
from pipelines.storage.warehouse import open_ducklake, open_warehouse
from tests.fixed_clock import NOW
from tests.lake.test_flow import rows_of
from tests.pipeline_runner import DAYS, assert_matches_world, run_pipeline, settings_for
from tests.postgres import Postgres
from tests.promises.fault_runner import run_cli
from tests.promises.world_factory import change_everything, tiny_world

UNREADABLE = (
    duckdb.IOException('Cannot open file "/f/core/t/ducklake-1.parquet": No such file or directory'),
    duckdb.HTTPException("HTTP Error: Unable to connect to URL http://h/b/ducklake-1.parquet: 404 (Not Found)."),
    duckdb.InvalidInputException(
        "Invalid Input Error: Invalid footer length provided for file '/f/ducklake-1.parquet'"
    ),
    duckdb.InvalidInputException("Invalid Input Error: No magic bytes found at end of file '/f/ducklake-1.parquet'"),
    duckdb.InvalidInputException("Invalid Input Error: File '/f/ducklake-1.parquet' too small to be a Parquet file"),
)


@pytest.mark.parametrize("error", UNREADABLE, ids=lambda error: str(error)[:20])
def test_an_unreadable_file_is_one_line_with_the_remedy(error: duckdb.Error) -> None:
    with (
        pytest.raises(WarehouseError, match="let `livehouse mend` rebuild its rows") as raised,
        translate_lake_errors("x"),
    ):
        raise error
    assert "\n" not in str(raised.value)


def test_a_warehouse_in_a_file_is_refused(tmp_path: Path) -> None:
    status, output, errors = run_cli({"LIVEHOUSE_HOME": f"{tmp_path / 'home'}"}, "mend")
    assert (status, output) == (2, "")
    assert "`livehouse doctor` checks the file" in errors
    assert not (tmp_path / "home").exists()


class LoadedLakehouse(NamedTuple):
    simulator: Simulator
    settings: Settings

    def list_files(self, table: str) -> list[Path]:
        """The current files of a table."""
        schema, name = table.split(".")
        listed = f"SELECT data_file FROM ducklake_list_files('lake', '{name}', schema => '{schema}') ORDER BY 1"
        with open_warehouse(self.settings).open_published() as connection:
            return [Path(path) for (path,) in connection.execute(listed).fetchall()]

    def run_cli(self, *arguments: str) -> tuple[int, str, str]:
        environment = {"LIVEHOUSE_WAREHOUSE": f"ducklake:postgres:{self.settings.lakehouse.get_secret_value()}"}  # type: ignore[union-attr]  # it is set
        return run_cli({"LIVEHOUSE_HOME": f"{self.settings.home}", **environment}, *arguments)


@pytest.fixture
def loaded(lake: str, tmp_path: Path) -> Iterator[LoadedLakehouse]:
    with Simulator(tiny_world(now=NOW - timedelta(minutes=10), broken=False)) as simulator:
        settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_WAREHOUSE=lake)
        run_pipeline(settings, DAYS)
        yield LoadedLakehouse(simulator, settings)


def facts_of(settings: Settings) -> dict[str, object]:
    """Rows of core and marts, and which days are loaded."""
    return {
        table: rows
        for table, rows in rows_of(settings).items()
        if table.startswith(("core", "mart")) or table == "ops.days"
    }


@pytest.mark.long
def test_little_space_at_the_data_path_is_a_warning(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=lake)  # type: ignore[call-arg]  # read by alias
    with open_warehouse(settings).open_working() as connection:
        connection.execute("INSERT INTO core.livestreams (app_id) SELECT 'aula' FROM range(1000)")
    left = shutil.disk_usage(tmp_path)._replace(free=500 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: left)
    [*_, finding] = check_lake_files(open_ducklake(settings))
    assert (finding.state, finding.subject) == ("warning", "disk")
    assert "500 MiB free in " in finding.message
    assert finding.remedy.startswith("free 1024 MiB, or run `livehouse upkeep`")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_lost_files_are_named_and_rebuilt(loaded: LoadedLakehouse) -> None:
    before = facts_of(loaded.settings)
    core = loaded.list_files("core.livestream_sessions")[0]
    core.unlink()
    status, output, errors = loaded.run_cli("sql", "SELECT sum(viewer_seconds) FROM core.livestream_sessions")
    assert (status, output) == (1, "")
    assert "livehouse mend" in errors
    day = core.parent.name.removeprefix("day=")
    status, output, _ = loaded.run_cli("doctor")
    assert status != 0
    assert "1 of " in output
    assert f"core.livestream_sessions aula {day} (missing)" in output
    status, output, errors = loaded.run_cli("mend")
    assert status == 0, errors
    assert f"aula: {day} built from raw" in output
    assert facts_of(loaded.settings) == before
    assert loaded.run_cli("mend")[1] == "no file is missing or incomplete\n"

    mart = loaded.list_files("marts.daily_usage")[0]
    mart.write_bytes(mart.read_bytes()[:100])
    loaded.list_files("raw.livestream_sessions")[0].unlink()
    lines = mend(loaded.settings)
    assert any("records restored from core" in line and "fetches every livestream" in line for line in lines)
    assert "marts.daily_usage: built again" in lines
    assert facts_of(loaded.settings) == before

    for file in (*loaded.list_files("raw.livestream_sessions"), *loaded.list_files("core.livestream_sessions")[:2]):
        file.unlink()
    lines = mend(loaded.settings)
    assert any("lost in core and in raw, fetched again by the next nights" in line for line in lines), lines
    change_everything(loaded.simulator.world, NOW)
    run_pipeline(loaded.settings, DAYS, run_id="later")
    assert_matches_world(loaded.settings, loaded.simulator.world)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_backups_of_different_ages_are_mended(loaded: LoadedLakehouse, lake: str, postgres: Postgres) -> None:
    """An older dump of the catalog with newer files, and a catalog with files as they were earlier."""
    dump = postgres.copy(lake)
    earlier = set(loaded.settings.home.rglob("*.parquet"))
    change_everything(loaded.simulator.world, NOW)
    run_pipeline(loaded.settings, DAYS, run_id="second")
    for _ in range(2):
        keep_up(loaded.settings, keep_days=0)
    for file in set(loaded.settings.home.rglob("*.parquet")) - earlier:
        if "core/livestream_sessions" in f"{file}" or "raw/app_analytics" in f"{file}":
            file.unlink()
    for settings in (
        loaded.settings,
        settings_for(loaded.simulator, loaded.settings.home.parent / "restored", LIVEHOUSE_WAREHOUSE=dump),
    ):
        with pytest.raises(WarehouseError, match="livehouse mend"):
            run_pipeline(settings, DAYS, run_id="fails", full=True)
        mend(settings)
        run_pipeline(settings, DAYS, run_id="after", full=True)
        assert_matches_world(settings, loaded.simulator.world)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_nothing_of_a_branch_is_visible_before_its_end(lake: str, postgres: Postgres, tmp_path: Path) -> None:
    """Readers fail on the lost file rather than sum without it; other runs do not commit meanwhile."""
    settings = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=lake)  # type: ignore[call-arg]  # read by alias
    lakehouse = open_ducklake(settings)
    with lakehouse.open_working() as connection:
        connection.execute("INSERT INTO core.live_observations (app_id, session_id) SELECT 'a', i FROM range(100) t(i)")
    lakehouse.close()
    [file] = tmp_path.rglob("live_observations/**/*.parquet")
    file.unlink()
    total = "SELECT count(DISTINCT session_id) FROM core.live_observations"

    def read() -> list[tuple[int]]:
        with lakehouse.open_published() as connection:
            return connection.execute(total).fetchall()

    with pytest.raises(ZeroDivisionError), branch_catalog(lakehouse, wait_seconds=1) as session:
        forget_files(session, find_damaged_files(session, lambda: None))
        with open_ducklake(settings, is_branch=True).open_working() as connection:
            assert connection.execute(total).fetchall() == [(0,)]
        with pytest.raises(WarehouseError, match="livehouse mend"):
            read()
        with pytest.raises(AlreadyRunningError), branch_catalog(lakehouse, wait_seconds=0.01):
            pass
        raise ZeroDivisionError
    with pytest.raises(WarehouseError, match="livehouse mend"):
        read()
    assert "core.live_observations: 100 rows are lost; restore them from a backup if you need them" in mend(settings)
    assert read() == [(0,)]
    with psycopg.connect(postgres.conninfo(lake.rpartition("=")[2])) as session:
        assert session.execute("SELECT to_regnamespace('livehouse_branch')").fetchall() == [(None,)]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_directory_that_is_not_mounted_is_not_mended(lake: str, tmp_path: Path) -> None:
    settings = Settings(LIVEHOUSE_HOME=tmp_path, LIVEHOUSE_WAREHOUSE=lake)  # type: ignore[call-arg]  # read by alias
    lakehouse = open_ducklake(settings)
    with lakehouse.open_working():
        pass  # creates the tables, of which that of the schema version has a row
    lakehouse.close()
    directory = Path(lakehouse.data_path())
    directory.rename(tmp_path / "elsewhere")
    directory.mkdir()
    with pytest.raises(WarehouseError, match=f"none of 1 files is in {directory}/: mount or restore it"):
        mend(settings)
    [finding] = check_lake_files(lakehouse)
    assert (finding.state, finding.remedy) == ("fault", "mount or restore it")
    directory.rmdir()
    (tmp_path / "elsewhere").rename(directory)
    assert mend(settings) == ["no file is missing or incomplete"]

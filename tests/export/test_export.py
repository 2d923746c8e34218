"""`livehouse export`: the published tables as files that other engines read, replaced as a whole."""

import csv
import errno
import json
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from pipelines.export.directory import ExportDirectory
from pipelines.export.tables import find_tables
from pipelines.simulator.server import Simulator
from tests.fixed_clock import NOW
from tests.night_runner import APP, LAST, WEEK, NightRunner, add_day, at_hour, world_of
from tests.pipeline_runner import environment_for, open_published, query
from tests.promises.fault_runner import run_cli

SESSIONS = "core.livestream_sessions"
READ_WITH_PYARROW = """
import sys, pyarrow.dataset
table = pyarrow.dataset.dataset(sys.argv[1], partitioning="hive").to_table()
print(table.num_rows, sorted(table.column_names)[:2], sum(table["viewer_seconds"].to_pylist()))
"""


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NightRunner]:
    """A home with a week of two livestreams, one with a name that a spreadsheet would evaluate."""
    world = world_of(2)
    world.apps[APP].livestreams[0].name = '=1+1,"quoted"\nline'
    with Simulator(world) as simulator:
        made = NightRunner(simulator, tmp_path_factory.mktemp("export") / "home")
        made.load(WEEK)
        yield made


def export(nights: NightRunner, *arguments: str) -> tuple[int, str, str]:
    return run_cli(environment_for(nights.simulator, nights.settings.home), "export", *arguments)


def rows_of(connection: duckdb.DuckDBPyConnection, source: str, columns: str) -> list[tuple[Any, ...]]:
    return sorted(connection.execute(f"SELECT {columns} FROM {source}").fetchall(), key=repr)


def scan(directory: Path, table: str, style: str = "parquet") -> str:
    """Return SQL that reads a table of an export."""
    path = directory / table.replace(".", "/")
    if path.is_dir():
        hive = "hive_partitioning = true, hive_types = {'app_id': VARCHAR, 'day': DATE}"
        return f"read_{style}('{path}/*/*/*.{style}', {hive})"
    return f"read_{style}('{path}.{style}')"


def inodes(directory: Path, table: str) -> dict[str, int]:
    root = directory / table.replace(".", "/")
    return {f"{file.relative_to(root)}": file.stat().st_ino for file in root.rglob("*.parquet")}


def test_every_table_is_exported_as_it_was_published(nights: NightRunner, tmp_path: Path) -> None:
    status, out, err = export(nights, str(tmp_path / "out"))
    assert (status, out.strip()) == (0, str(tmp_path / "out")), err
    with open_published(nights.settings) as published, duckdb.connect() as reader:
        for table in find_tables():
            columns = ", ".join(
                name for name, *_ in published.execute(f"SELECT * FROM {table.name} LIMIT 0").description or []
            )
            expected = rows_of(published, table.name, columns)
            if expected or not table.is_fact:
                assert rows_of(reader, scan(tmp_path / "out", table.name), columns) == expected, table.name
    listed = json.loads((tmp_path / "out" / "export.json").read_text())
    files = {
        f"{file.relative_to(tmp_path / 'out')}"
        for schema in ("core", "marts", "ops")
        for file in (tmp_path / "out" / schema).rglob("*.parquet")
    }
    assert {file["path"] for file in listed} == files
    assert len(files) == len(listed)
    assert f"{len(files)} files, 0 of them unchanged" in err


def test_polars_reads_an_export(nights: NightRunner, tmp_path: Path) -> None:
    assert export(nights, str(tmp_path))[0] == 0
    read = pl.scan_parquet(tmp_path / "core" / "livestream_sessions", hive_partitioning=True).collect()
    assert (read.height, read["viewer_seconds"].sum()) == query(
        nights.settings, f"SELECT count(*), sum(viewer_seconds) FROM {SESSIONS}"
    )[0]
    assert read.filter(pl.col("app_id") == APP, pl.col("day") == LAST).height == 2


def test_days_that_were_not_loaded_again_are_kept(tmp_path: Path) -> None:
    with Simulator(world_of(2)) as simulator:
        nights = NightRunner(simulator, tmp_path / "home")
        nights.builds_marts = False
        nights.load(WEEK)
        out, tables = tmp_path / "out", ("--tables", SESSIONS)
        assert export(nights, str(out), *tables)[0] == 0
        before, opened = inodes(out, SESSIONS), (out / "core").resolve()
        add_day(nights.world, LAST + timedelta(days=1))
        nights.world.now = NOW + timedelta(days=1)
        nights.world.add_session(
            APP,
            nights.world.apps[APP].livestreams[0].id,
            created_at=at_hour(LAST, 20),
            ingest_seconds=60.0,
            viewer_seconds=7.0,
        )
        nights.load((LAST, LAST + timedelta(days=1)), at=NOW + timedelta(days=1))
        status, _, err = export(nights, str(out), *tables)
        assert status == 0, err
        after = inodes(out, SESSIONS)
        changed = {path for path, inode in after.items() if before.get(path) != inode}
        days = {f"app_id={APP}/day={LAST + timedelta(days=number)}/data_0.parquet" for number in (0, 1)}
        assert changed == days
        assert "unchanged since the last export" in err
        with duckdb.connect() as reader, open_published(nights.settings) as published:
            columns = "app_id, day, session_id, viewer_seconds"
            assert rows_of(reader, scan(out, SESSIONS), columns) == rows_of(published, SESSIONS, columns)
        assert len(list(opened.rglob("day=*"))) > 0, "a reader of the export before can go on"
        export(nights, str(out), *tables)
        assert not opened.exists(), "only the export before is kept"


def test_the_same_days_in_another_style_are_written_again(nights: NightRunner, tmp_path: Path) -> None:
    for style in ("parquet", "csv"):
        assert export(nights, str(tmp_path), "--format", style)[0] == 0
    assert {file.suffix for file in (tmp_path / "core" / "livestream_sessions").rglob("data*")} == {".csv"}
    with duckdb.connect() as reader, open_published(nights.settings) as published:
        columns = "app_id, day, session_id, viewer_seconds, is_live, ended_at"
        assert rows_of(reader, scan(tmp_path, SESSIONS, "csv"), columns) == rows_of(published, SESSIONS, columns)


def test_some_tables_and_days(nights: NightRunner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    since = LAST - timedelta(days=1)
    assert export(nights, str(out), "--tables", f"{SESSIONS},marts.daily_usage", "--since", f"{since}")[0] == 0
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {"core", "marts", "export.json"}
    assert sorted(inodes(out, SESSIONS)) == [f"app_id={APP}/day={day}/data_0.parquet" for day in (since, LAST)]
    assert export(nights, str(out), "--tables", "marts.daily_usage")[0] == 0
    assert {path.name for path in out.iterdir() if not path.name.startswith(".")} == {"marts", "export.json"}


def test_csv_for_spreadsheets_disarms_formulas(nights: NightRunner, tmp_path: Path) -> None:
    plain, safe = tmp_path / "plain", tmp_path / "safe"
    assert export(nights, str(plain), "--format", "csv", "--tables", "core.livestreams")[0] == 0
    assert export(nights, str(safe), "--format", "csv", "--spreadsheet", "--tables", "core.livestreams")[0] == 0
    names = []
    for directory in (plain, safe):
        with (directory / "core" / "livestreams.csv").open(newline="") as file:
            names.append([row["name"] for row in csv.DictReader(file)])
    assert '=1+1,"quoted"\nline' in names[0]
    assert '\'=1+1,"quoted"\nline' in names[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--tables", "marts.daily_usag"],
            "there is no 'marts.daily_usag' to export: did you mean 'marts.daily_usage'?",
        ),
        (["--tables", "marts.daily_usage, raw.livestreams"], "did you mean 'core.livestreams'?"),
        (["--tables", "nothing; DROP TABLE x"], "the tables are core.live_observations"),
        (["--since", "yesterday"], "write it YYYY-MM-DD"),
        (["--spreadsheet"], "--spreadsheet goes with --format csv"),
    ],
)
def test_wrong_usage_creates_nothing(arguments: list[str], message: str, nights: NightRunner, tmp_path: Path) -> None:
    status, out, err = export(nights, str(tmp_path / "out"), *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", ["postgres:host=x password=hush", "gs://bucket/x", "a?b", ":memory:"])
def test_an_address_is_no_directory(
    target: str, nights: NightRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = export(nights, target)
    assert (status, err.count("\n")) == (2, 1)
    assert "hush" not in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["core", "export.json"])
def test_files_of_others_are_not_replaced(taken: str, nights: NightRunner, tmp_path: Path) -> None:
    (tmp_path / taken).write_text("mine")
    status, _, err = export(nights, str(tmp_path))
    assert status == 1
    assert f"{taken} exists, and is not from `livehouse export`" in err
    assert (tmp_path / taken).read_text() == "mine"


def test_links_and_directories_of_others_stay(nights: NightRunner, tmp_path: Path) -> None:
    (tmp_path / "marts").symlink_to("elsewhere")
    status, _, err = export(nights, str(tmp_path))
    assert (status, err.count("\n")) == (1, 1)
    assert "marts exists, and is not from `livehouse export`" in err
    (tmp_path / "marts").unlink()
    (tmp_path / ".exports" / "mine").mkdir(parents=True)
    assert export(nights, str(tmp_path), "--tables", "marts.daily_usage")[0] == 0
    assert (tmp_path / ".exports" / "mine").is_dir()


def test_files_that_a_user_deleted_or_edited_are_written_again(nights: NightRunner, tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--tables", SESSIONS]
    assert export(nights, *arguments)[0] == 0
    first, second = sorted((tmp_path / "core" / "livestream_sessions").rglob("*.parquet"))[:2]
    first.unlink()
    second.write_bytes(b"edited")
    older = second.resolve()
    status, _, err = export(nights, *arguments)
    assert status == 0, err
    assert "5 of them unchanged" in err
    with duckdb.connect() as reader, open_published(nights.settings) as published:
        columns = "app_id, day, session_id, viewer_seconds"
        assert rows_of(reader, scan(tmp_path, SESSIONS), columns) == rows_of(published, SESSIONS, columns)
    assert older.read_bytes() == b"edited"


def test_a_failure_after_the_replacement_leaves_the_new_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Path.symlink_to

    def link_on_full_disk(path: Path, target: Path) -> None:
        if target.parts[0] == ".current":
            raise OSError(errno.ENOSPC, "No space left on device", f"{path}")
        link(path, target)

    monkeypatch.setattr(Path, "symlink_to", link_on_full_disk)
    directory = ExportDirectory(tmp_path, NOW)
    with pytest.raises(OSError, match="No space left"), directory.replaced(wait_seconds=0, log=print):
        directory.make_directory("core")
    assert (tmp_path / ".current" / "core").is_dir()


def test_a_target_that_is_a_file_is_one_line(nights: NightRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    status, _, err = export(nights, str(tmp_path / "file"))
    assert (status, err.count("\n")) == (1, 1), err
    assert (tmp_path / "file").read_text() == "mine"


def test_an_export_killed_while_it_writes_leaves_the_older_one(nights: NightRunner, tmp_path: Path) -> None:
    assert export(nights, str(tmp_path), "--tables", "marts.daily_usage")[0] == 0
    before = (tmp_path / "marts").resolve()

    def allow_small_files() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    source = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); from pipelines.cli import main; main()"
    no_bytecode = {"PYTHONDONTWRITEBYTECODE": "1"}  # Python would keep the part of it that the limit lets through
    killed = subprocess.run(
        [sys.executable, "-c", source, "export", str(tmp_path)],
        env=environment_for(nights.simulator, nights.settings.home)
        | {"PYTHONPATH": f"{Path(__file__).parents[2]}"}
        | no_bytecode,
        preexec_fn=allow_small_files,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGXFSZ, killed.stderr
    assert len([path for path in (tmp_path / ".exports").iterdir() if path.is_dir()]) == 2
    assert (tmp_path / "marts").resolve() == before
    assert export(nights, str(tmp_path))[0] == 0
    assert (tmp_path / "core").exists()
    left = {path.name for path in (tmp_path / ".exports").iterdir() if path.is_dir()}
    assert left == {before.parent.name, (tmp_path / "core").resolve().parent.name}


@pytest.mark.parametrize("damaged", ["", "{", "null", "[1]", '[{"day": "soon"}]', "\x00"])
def test_an_export_with_a_damaged_manifest_is_written_again(damaged: str, nights: NightRunner, tmp_path: Path) -> None:
    tables = ("--tables", SESSIONS)
    assert export(nights, str(tmp_path), *tables)[0] == 0
    (tmp_path / "export.json").write_text(damaged)
    status, _, err = export(nights, str(tmp_path), *tables)
    assert status == 0
    assert "0 of them unchanged" in err


def test_two_exports_to_one_directory_do_not_mix(nights: NightRunner, tmp_path: Path) -> None:
    with ExportDirectory(tmp_path, NOW).replaced(wait_seconds=0, log=print):
        environment = environment_for(nights.simulator, nights.settings.home, LIVEHOUSE_LOCK_WAIT_SECONDS="0")
        status, _, err = run_cli(environment, "export", str(tmp_path))
        assert status == 1
        assert "is still writing to" in err


@pytest.mark.long
def test_pyarrow_reads_an_export(nights: NightRunner, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", f"{packages}", "pyarrow"]
    if subprocess.run(pip, capture_output=True, check=False).returncode:
        pytest.skip("pyarrow cannot be installed")
    assert export(nights, str(tmp_path / "out"))[0] == 0
    read = subprocess.run(
        [sys.executable, "-c", READ_WITH_PYARROW, tmp_path / "out" / "core" / "livestream_sessions"],
        env={"PYTHONPATH": f"{packages}"},
        capture_output=True,
        text=True,
        check=False,
    )
    rows, viewers = query(nights.settings, f"SELECT count(*), sum(viewer_seconds) FROM {SESSIONS}")[0]
    assert read.stdout.split() == [f"{rows}", "['app_id',", "'created_at']", f"{viewers}"], read.stderr


def test_each_run_exports_where_the_setting_names_a_directory(nights: NightRunner, tmp_path: Path) -> None:
    target = tmp_path / "lake of files"
    environment = environment_for(nights.simulator, tmp_path / "home", LIVEHOUSE_EXPORT_PATH=f"{target}")
    status, _, err = run_cli(environment, "backfill", f"{LAST}", f"{LAST}", "--quiet")
    assert status == 0, err
    with duckdb.connect() as reader:
        assert rows_of(reader, scan(target, SESSIONS), "day") == [(LAST,), (LAST,)]


@pytest.mark.long
def test_a_run_reports_that_its_export_would_replace_a_file_of_others(nights: NightRunner, tmp_path: Path) -> None:
    target = tmp_path / "lake of files"
    environment = environment_for(nights.simulator, tmp_path / "home", LIVEHOUSE_EXPORT_PATH=f"{target}")
    target.mkdir()
    (target / "core").write_text("mine")
    status, _, err = run_cli(environment, "backfill", f"{LAST}", f"{LAST}", "--quiet")
    assert (status, err.count("\n")) == (1, 1)
    assert "core exists, and is not from `livehouse export`" in err
    assert (tmp_path / "home" / "report.html").exists()

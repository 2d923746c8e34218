"""`livehouse export`: the published tables as files that other engines read."""

import csv
import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipelines.export.tables import find_tables
from tests.export.conftest import SESSIONS, export, inodes, rows_of, scan
from tests.night_runner import APP, LAST, NightRunner
from tests.pipeline_runner import environment_for, open_published, query
from tests.promises.fault_runner import run_cli

READ_WITH_PYARROW = """
import sys, pyarrow.dataset
table = pyarrow.dataset.dataset(sys.argv[1], partitioning="hive").to_table()
print(table.num_rows, sorted(table.column_names)[:2], sum(table["viewer_seconds"].to_pylist()))
"""


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


@pytest.mark.long
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


@pytest.mark.long
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

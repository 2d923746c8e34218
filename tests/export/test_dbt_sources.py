"""`livehouse export --dbt`: sources that dbt-duckdb reads in place, described and tested as the catalog says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipelines.catalog.streams import CORE_TABLES
from pipelines.export.dbt_sources import ACCEPTED_VALUES
from pipelines.export.tables import find_tables
from pipelines.marts.build import find_marts
from tests.pipeline_runner import LoadedWarehouse, environment_for
from tests.promises.fault_runner import run_cli

pytestmark = [pytest.mark.file_only, pytest.mark.long]

MODEL = """
select app_id, count(*) as sessions from {{ source('core', 'livestream_sessions') }} group by app_id order by app_id
"""
PROJECT = "{name: figures, version: '1.0.0', profile: figures, flags: {send_anonymous_usage_stats: false}}"
PROFILE = "{figures: {target: dev, outputs: {dev: {type: duckdb, path: figures.duckdb}}}}"


def export(loaded: LoadedWarehouse, directory: Path, *arguments: str) -> tuple[int, str, str]:
    return run_cli(environment_for(loaded.simulator, loaded.settings.home), "export", str(directory), *arguments)


@pytest.fixture(scope="module")
def exported(loaded_once: LoadedWarehouse, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in a directory with a name that SQL, Python and dbt would read as more than a name."""
    directory = tmp_path_factory.mktemp("dbt") / "it's 100% {{ mine }}"
    status, _, err = export(loaded_once, directory, "--dbt")
    assert status == 0, err
    return directory


@pytest.fixture(scope="module")
def described(exported: Path) -> dict[str, dict[str, Any]]:
    """The tables of sources.yml by name."""
    sources = yaml.safe_load((exported / "sources.yml").read_text())["sources"]
    return {f"{source['name']}.{table['name']}": table for source in sources for table in source["tables"]}


def test_every_exported_table_is_described_with_all_columns(described: dict[str, dict[str, Any]]) -> None:
    assert set(described) == {table.name for table in find_tables()}
    for table in CORE_TABLES:
        columns = described[table.full_name]["columns"]
        assert [column["name"] for column in columns] == list(table.column_names)
        assert table.description.startswith(described[table.full_name]["description"][:40])
    for mart in find_marts():
        assert [column["name"] for column in described[mart.full_name]["columns"]] == list(mart.columns)
    assert [name for name, table in described.items() if not table["description"]] == []
    assert [column for table in described.values() for column in table["columns"] if not column["description"]] == []


def test_keys_grains_and_known_values_are_tests(described: dict[str, dict[str, Any]]) -> None:
    for table in find_tables():
        key = f"({', '.join(table.order)})"
        assert described[table.name]["data_tests"] == [{"unique": {"arguments": {"column_name": key}}}]
        tested = {
            column["name"] for column in described[table.name]["columns"] if "not_null" in column.get("data_tests", [])
        }
        assert tested == set(table.order)
    [verdict] = [column for column in described["marts.reconciliation"]["columns"] if column["name"] == "verdict"]
    assert verdict["data_tests"] == [
        {"accepted_values": {"arguments": {"values": [*ACCEPTED_VALUES["marts.reconciliation", "verdict"]]}}}
    ]


def test_the_accepted_verdicts_are_those_of_the_mart() -> None:
    [reconciliation] = [mart for mart in find_marts() if mart.name == "reconciliation"]
    values = ACCEPTED_VALUES["marts.reconciliation", "verdict"]
    assert re.findall(r"[a-z_]{5,}", reconciliation.columns["verdict"].description) == values


def test_duckdb_reads_every_location(
    exported: Path, described: dict[str, dict[str, Any]], loaded_once: LoadedWarehouse
) -> None:
    with duckdb.connect(loaded_once.settings.warehouse, read_only=True) as warehouse, duckdb.connect() as reader:
        for name, table in described.items():
            location = table["config"]["meta"]["external_location"] % {}
            location = location.replace("{{ '{{' }}", "{{")  # as Jinja does
            [counted] = reader.execute(f"SELECT count(*) FROM {location}").fetchall()
            [expected] = warehouse.execute(f"SELECT count(*) FROM {name}").fetchall()
            assert counted == expected, name
            types = dict(reader.execute(f"SELECT column_name, column_type FROM (DESCRIBE FROM {location})").fetchall())
            assert types == {column["name"]: column["data_type"] for column in table["columns"]}, name


def test_a_later_export_writes_the_sources_again(loaded_once: LoadedWarehouse, tmp_path: Path) -> None:
    (tmp_path / "sources.yml").write_text("mine")
    status, _, err = export(loaded_once, tmp_path, "--tables", "core.livestreams")
    assert status == 0, err
    assert (tmp_path / "sources.yml").read_text() == "mine", "an export without --dbt leaves it"
    status, _, err = export(loaded_once, tmp_path, "--tables", "core.livestreams", "--dbt")
    assert status == 1
    assert "sources.yml exists, and is not from `livehouse export`" in err
    (tmp_path / "sources.yml").unlink()
    assert export(loaded_once, tmp_path, "--tables", "core.livestreams", "--dbt")[0] == 0
    assert export(loaded_once, tmp_path, "--tables", "core.livestreams,ops.days")[0] == 0
    assert "name: ops" in (tmp_path / "sources.yml").read_text()


@pytest.mark.parametrize("arguments", [("DIR", "--format", "csv"), ("s3://bucket/figures",)])
def test_sources_describe_parquet_in_a_directory(arguments: tuple[str, ...], loaded_once: LoadedWarehouse) -> None:
    environment = environment_for(loaded_once.simulator, loaded_once.settings.home)
    status, out, err = run_cli(environment, "export", *arguments, "--dbt")
    assert (status, out) == (2, "")
    assert "--dbt goes with --format parquet and a directory" in err


def install_dbt(directory: Path) -> str:
    """Install dbt into an environment of its own, because its pins contradict ours; return its program."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", directory], check=True)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        f"{directory}/bin/python",
        "install",
        "-q",
        "dbt-core>=1.10.6,<1.12",
        "dbt-duckdb",
    ]
    if subprocess.run(pip, capture_output=True, check=False).returncode:
        pytest.skip("dbt cannot be installed")
    return f"{directory}/bin/dbt"


@pytest.mark.timeout(900)
def test_dbt_builds_on_an_export_and_its_tests_pass(
    exported: Path, loaded_once: LoadedWarehouse, tmp_path: Path
) -> None:
    dbt = install_dbt(tmp_path / "dbt")
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    shutil.copyfile(exported / "sources.yml", project / "models" / "sources.yml")
    for name, text in {"dbt_project.yml": PROJECT, "profiles.yml": PROFILE, "models/by_app.sql": MODEL}.items():
        (project / name).write_text(text)
    built = subprocess.run(
        [dbt, "--warn-error", "--no-use-colors", "build", "--profiles-dir", "."],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": f"{tmp_path}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout
    assert re.search(r"PASS=\d{2,} WARN=0 ERROR=0", built.stdout)
    python = Path(dbt).parent / "python"  # its DuckDB may be newer than ours
    read = "import duckdb; print(duckdb.connect('figures.duckdb').execute('FROM by_app ORDER BY app_id').fetchall())"
    rows = subprocess.run([python, "-c", read], cwd=project, capture_output=True, text=True, check=True).stdout
    with duckdb.connect(loaded_once.settings.warehouse, read_only=True) as warehouse:
        expected = warehouse.execute(
            "SELECT app_id, count(*) FROM core.livestream_sessions GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    assert rows.strip() == str(expected)

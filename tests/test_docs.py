"""What the documents show is there: commands, tables, settings; and the query on the README's first screen runs."""

import re
import subprocess
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.cli import COMMANDS
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.faults import KINDS
from tests.houses import Loaded
from tests.promises.attack import call_livehouse

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_command_is_in_the_readme_and_every_command_shown_exists() -> None:
    shown = set(re.findall(r"livehouse ([a-z][a-z-]+)", " ".join(re.findall(r"`livehouse [^`]+`", README))))
    assert shown == set(COMMANDS)


def test_every_table_is_in_the_readme_and_every_table_shown_exists() -> None:
    there = {table.full_name for table in WAREHOUSE_FILE} | {mart.full_name for mart in find_marts()}
    shown = set(re.findall(r"`((?:core|marts|ops)\.[a-z_]+)`", README))
    assert shown == there


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    variables = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) == variables


def test_every_fault_of_the_simulator_is_in_the_table() -> None:
    rows = [line for line in README.splitlines() if line.startswith("| ")]
    shown = {kind for row in rows for kind in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert set(KINDS) <= shown


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)) <= targets


@pytest.mark.file_only
def test_the_first_query_and_the_notebook_run(loaded: Loaded) -> None:
    settings = loaded.settings
    shown = re.search(r'^livehouse sql "(.+)"$', README, re.MULTILINE)
    assert shown
    status, out, said = call_livehouse({"LIVEHOUSE_HOME": str(settings.home)}, "sql", shown[1])
    assert status == 0, said
    with duckdb.connect(settings.warehouse, read_only=True) as connection:
        days = connection.execute("SELECT count(DISTINCT day) FROM core.livestream_sessions").fetchall()[0][0]
    assert len(out.splitlines()) == days + 1
    [cell] = re.findall(r"^```python\n(.+?)^```", README, re.MULTILINE | re.DOTALL)
    *lines, last = cell.replace("data/warehouse.duckdb", str(settings.warehouse)).splitlines()
    made: dict[str, Any] = {}
    exec("\n".join([*lines, f"answer = {last}"]), made)
    assert set(made["answer"]["app_id"]) == set(settings.app_ids)


@pytest.mark.file_only
def test_every_table_and_column_has_a_comment(loaded: Loaded) -> None:
    with duckdb.connect(loaded.settings.warehouse, read_only=True) as connection:
        bare = connection.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE comment IS NULL AND NOT internal"
        ).fetchall()
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE comment IS NULL").fetchall()
    assert (bare, tables) == ([], [])


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_nothing_committed_names_an_index_or_a_path_of_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    pattern = re.compile(r"--(?:extra-)?index-url|--find-links|(?<![\w.])/(?:work|root)/[a-z]")
    found = [
        name
        for name in listed
        if name != "tests/test_docs.py" and (ROOT / name).suffix != ".png" and (ROOT / name).is_file()
        if pattern.search((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []


def test_every_test_named_in_the_threat_table_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "SECURITY.md").read_text() + README))
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in named if f"def {name}(" not in written} == set()

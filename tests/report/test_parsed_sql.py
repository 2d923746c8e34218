"""The parsed SQL of marts: generated with the package, or kept in a home, and parsed again after any change."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from pipelines.marts import parsed_sql
from pipelines.marts.build import find_marts
from pipelines.marts.lineage import column_lineage
from pipelines.marts.parsed_sql import TableColumns, _packaged_results, keep_parsed_sql, read_tables

SQL = "SELECT app_id, name FROM core.livestreams"


def begin_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process know no results but those of the package, like a new one."""
    monkeypatch.setattr(parsed_sql, "_results", {})
    monkeypatch.setattr(parsed_sql, "_used", set())


@pytest.fixture
def parses(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the queries that this process parses from now on."""
    from pipelines.marts import sql_parser

    parsed: list[str] = []
    find_columns = sql_parser.find_columns

    def count(sql: str, tables: Mapping[str, TableColumns]) -> dict[str, list[str]]:
        parsed.append(sql)
        return find_columns(sql, tables)

    begin_process(monkeypatch)
    monkeypatch.setattr(sql_parser, "find_columns", count)
    return parsed


def test_the_package_contains_what_the_parser_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = {mart.name: (read_tables(mart.sql), column_lineage(mart)) for mart in find_marts()}
    assert _packaged_results()
    monkeypatch.setattr(parsed_sql, "_packaged_results", dict)
    begin_process(monkeypatch)
    assert {mart.name: (read_tables(mart.sql), column_lineage(mart)) for mart in find_marts()} == packaged


def test_results_that_the_package_lacks_are_kept_in_a_home(
    parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keep_parsed_sql(tmp_path / "cache"):
        for mart in find_marts():
            read_tables(mart.sql)
    assert not (tmp_path / "cache").exists()
    for _ in range(2):
        with keep_parsed_sql(tmp_path / "cache"):
            assert read_tables(SQL).full_names == {"core.livestreams"}
        begin_process(monkeypatch)
    assert parses == [SQL]
    assert len(json.loads((tmp_path / "cache" / "marts.json").read_text())["results"]) == 1
    with keep_parsed_sql(tmp_path / "cache"):
        read_tables(f"{SQL} -- edited")
    assert parses == [SQL, f"{SQL} -- edited"]


@pytest.mark.parametrize(
    "content",
    [
        '{"sqlglot": "1.0.0", "results": RESULTS}',
        '{"sqlglot": "VERSION", "resu',
        "RESULTS",  # of livehouse 1.0.0
        "[]",
    ],
)
def test_results_of_another_sqlglot_and_damaged_files_are_not_used(
    content: str, parses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with keep_parsed_sql(tmp_path):
        read_tables(SQL)
    file = tmp_path / "marts.json"
    [key] = json.loads(file.read_text())["results"]
    begin_process(monkeypatch)
    wrong = json.dumps({key: [["core.wrong"], {}]})
    file.write_text(content.replace("VERSION", version("sqlglot")).replace("RESULTS", wrong))
    with keep_parsed_sql(tmp_path):
        assert read_tables(SQL).full_names == {"core.livestreams"}
    assert parses == [SQL, SQL]

"""The snippets of the pages about other tools run on a loaded warehouse."""

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.pipeline_runner import LoadedWarehouse

PAGES = Path(__file__).parents[1] / "docs" / "how-to"
TOOLS = ("dbt", "evidence", "grafana", "metabase", "notebooks", "superset")

pytestmark = pytest.mark.file_only


def snippets(page: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.+?)^ *```", (PAGES / f"{page}.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("tool", TOOLS)
def test_each_page_lists_what_was_tried(tool: str) -> None:
    text = (PAGES / f"{tool}.md").read_text()
    assert "**Tried" in text
    assert "**Not tried:**" in text
    assert f"({tool}.md)" in (PAGES / "README.md").read_text()


def test_the_cells_of_the_notebook_run(loaded_once: LoadedWarehouse) -> None:
    cells = snippets("notebooks", "python")
    assert len(cells) == 2
    made: dict[str, Any] = {}
    for cell in cells:
        exec(cell.replace("data/warehouse.duckdb", str(loaded_once.settings.warehouse)), made)
    assert set(made["usage"]["app_id"]) == set(loaded_once.settings.app_ids)
    assert made["chart"].to_dict()["encoding"]["y"]["field"] == "viewer_hours"


def test_the_model_for_dbt_runs(loaded_once: LoadedWarehouse) -> None:
    [model] = snippets("dbt", "sql")
    query = re.sub(r"\{\{ source\('(\w+)', '(\w+)'\) \}\}", r"\1.\2", model)
    with duckdb.connect(loaded_once.settings.warehouse, read_only=True) as connection:
        assert connection.execute(query).fetchall()


def test_the_query_for_grafana_runs(loaded_once: LoadedWarehouse) -> None:
    [query] = snippets("grafana", "sql")
    with duckdb.connect(loaded_once.settings.warehouse, read_only=True) as connection:
        rows = connection.execute(query)
        assert [column[0] for column in rows.description] == ["time", "metric", "viewer_hours"]
        assert rows.fetchall()


def test_the_connection_of_superset_reads(loaded_once: LoadedWarehouse) -> None:
    pytest.importorskip("duckdb_engine", reason="duckdb-engine is not installed")
    [code] = snippets("superset", "python")
    made: dict[str, Any] = {}
    exec(code.replace("data/warehouse.duckdb", str(loaded_once.settings.warehouse)), made)
    assert {app_id for app_id, _ in made["rows"]} == set(loaded_once.settings.app_ids)

"""Every table of a lakehouse has statistics from its creation on: DuckLake asks for missing ones again and again."""

import pytest
from pydantic import SecretStr

from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from tests.postgres import Postgres

WITHOUT_STATISTICS = (
    "SELECT table_name FROM ducklake_table WHERE table_id NOT IN (SELECT table_id FROM ducklake_table_stats)"
)


@pytest.fixture(scope="module")
def warehouse(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> DuckLakeWarehouse:
    """A lakehouse that has been opened once."""
    conninfo = SecretStr(postgres.new_database().removeprefix("ducklake:postgres:"))
    opened = DuckLakeWarehouse(conninfo, None, tmp_path_factory.mktemp("home"))
    with opened.open_working():
        pass
    return opened


def list_tables_without(warehouse: DuckLakeWarehouse) -> list[tuple[str]]:
    with warehouse.connect_catalog() as session:
        return session.execute(WITHOUT_STATISTICS).fetchall()


@pytest.mark.long
def test_a_new_lakehouse_has_statistics_and_no_row(warehouse: DuckLakeWarehouse) -> None:
    assert list_tables_without(warehouse) == []
    with warehouse.open_working() as connection:
        names = connection.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_columns()"
            " WHERE database_name = 'lake' AND schema_name <> 'main' GROUP BY ALL"
        ).fetchall()
        rows = connection.execute(" UNION ALL ".join(f"SELECT count(*) FROM {name}" for (name,) in names)).fetchall()
    assert len(names) > 30
    assert set(rows) <= {(0,), (1,)}
    assert sum(count for (count,) in rows) == 1, "ops.schema_versions"


@pytest.mark.long
def test_tables_without_rows_get_statistics_at_the_next_opening(warehouse: DuckLakeWarehouse) -> None:
    """As a mart that was built without rows, and the tables of a lakehouse of an earlier version."""
    with warehouse.open_working() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
        connection.execute('CREATE TABLE marts."Empty one" (day DATE, name VARCHAR, sessions MAP(BIGINT, UBIGINT))')
    assert list_tables_without(warehouse) == [("Empty one",)]
    with warehouse.open_working() as connection:
        assert connection.execute('SELECT count(*) FROM marts."Empty one"').fetchall() == [(0,)]
    assert list_tables_without(warehouse) == []
    with warehouse.connect_catalog() as session:
        snapshots = session.execute("SELECT count(*) FROM ducklake_snapshot").fetchall()
        with warehouse.open_working():
            pass
        assert session.execute("SELECT count(*) FROM ducklake_snapshot").fetchall() == snapshots, "once"

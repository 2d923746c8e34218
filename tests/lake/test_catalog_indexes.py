"""Indexes on DuckLake's catalog: created with it and on an older one, used by its queries, and checked by one statement."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from tests.postgres import Postgres

INDEXES = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'livehouse%' ORDER BY 1"
EXPECTED = [
    ("livehouse_column_stats_by_table",),
    ("livehouse_data_files_by_table",),
    ("livehouse_delete_files_by_table",),
]


def open_lakehouse(address: str, home: Path) -> DuckLakeWarehouse:
    return DuckLakeWarehouse(SecretStr(address.removeprefix("ducklake:postgres:")), None, home)


def database_of(address: str) -> str:
    return address.rpartition("dbname=")[2].split()[0]


@pytest.fixture(scope="module")
def created(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The address and the home of a lakehouse that has been opened once."""
    address, home = postgres.new_database(), tmp_path_factory.mktemp("home")
    with open_lakehouse(address, home).open_working():
        pass
    return address, home


@pytest.fixture
def limited(created: tuple[str, Path], postgres: Postgres) -> Iterator[str]:
    """The same lakehouse with a role that may write rows, and owns no table."""
    database = database_of(created[0])
    postgres.execute("DROP ROLE IF EXISTS limited; CREATE ROLE limited LOGIN")
    postgres.execute(
        "GRANT ALL ON SCHEMA public TO limited; GRANT ALL ON ALL TABLES IN SCHEMA public TO limited", database
    )
    yield created[0].replace("user=postgres", "user=limited")
    postgres.execute("DROP OWNED BY limited; DROP ROLE limited", database)


@pytest.mark.long
def test_a_new_catalog_has_them(created: tuple[str, Path], postgres: Postgres) -> None:
    assert postgres.execute(INDEXES, database_of(created[0])) == EXPECTED


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("ducklake_file_column_stats WHERE column_id = 1 AND table_id = 6", "livehouse_column_stats_by_table"),
        ("ducklake_data_file WHERE table_id = 6 AND begin_snapshot <= 9", "livehouse_data_files_by_table"),
        ("ducklake_delete_file WHERE table_id = 6 AND begin_snapshot <= 9", "livehouse_delete_files_by_table"),
    ],
)
def test_queries_of_ducklake_use_them(query: str, index: str, created: tuple[str, Path], postgres: Postgres) -> None:
    """PostgreSQL reads a small table as a whole: without that choice, its plan is the one for a large table."""
    import psycopg

    with psycopg.connect(postgres.conninfo(database_of(created[0])), options="-c enable_seqscan=off") as session:
        plan = session.execute(f"EXPLAIN SELECT * FROM {query}").fetchall()
    assert index in f"{plan}"


@pytest.mark.long
def test_an_older_catalog_gets_them_and_writers_go_on(created: tuple[str, Path], postgres: Postgres) -> None:
    """Also after a migration of DuckLake that creates a table again; several machines may open it at the same time."""
    address, home = created
    database = database_of(address)
    postgres.execute("; ".join(f"DROP INDEX {name}" for (name,) in EXPECTED), database)
    writer = open_lakehouse(address, home)
    errors: list[BaseException] = []

    def reopen() -> None:
        try:
            with open_lakehouse(address, home).run(wait_seconds=30, log=print):
                pass
        except BaseException as error:  # noqa: BLE001 - compared below, on the thread of the test
            errors.append(error)

    with writer.open_working() as connection:
        connection.execute("BEGIN; INSERT INTO ops.loads (run_id) SELECT 'r' FROM range(100)")
        threads = [threading.Thread(target=reopen) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        connection.execute("COMMIT")
    assert errors == []
    assert postgres.execute(INDEXES, database) == EXPECTED


@pytest.mark.long
def test_a_role_that_may_not_create_them_works_without(
    limited: str, created: tuple[str, Path], postgres: Postgres
) -> None:
    postgres.execute("DROP INDEX IF EXISTS livehouse_data_files_by_table", database_of(limited))
    messages: list[str] = []
    with open_lakehouse(limited, created[1]).run(wait_seconds=0, log=messages.append):
        pass
    assert len(messages) == 1
    assert "CREATE INDEX livehouse_data_files_by_table ON ducklake_data_file (table_id)" in messages[0]
    with open_lakehouse(created[0], created[1]).open_working():
        pass
    assert postgres.execute(INDEXES, database_of(limited)) == EXPECTED

"""Readers of a lakehouse: a role that may only SELECT, no query that goes around DuckDB, no credential that is shown."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from pydantic import SecretStr

from pipelines.cli.diagnostics import diagnose
from pipelines.errors import QueryError, WarehouseError
from pipelines.explore.queries import QueryRunner
from pipelines.storage.attach import S3Key, restrict_access
from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from pipelines.storage.extensions import connect_with_extensions, find_extension
from pipelines.storage.sandbox import TABLE_FUNCTIONS, run_query
from tests.postgres import Postgres
from tests.promises.fault_runner import run_cli

ROLES = Path(__file__).parents[2] / "deploy" / "postgres" / "roles.sql"
PASSWORDS = {
    "LIVEHOUSE_PASSWORD": "hush'hush-1",
    "LIVEHOUSE_READER_PASSWORD": "hush-hush-2",
    "DAGSTER_PASSWORD": "hush-hush-3",
}
METADATA = "__ducklake_metadata_lake"


class Lake(NamedTuple):
    """A lakehouse with the roles that `deploy/` makes, and where its files lie."""

    runs: str
    readers: str
    files: Path
    home: Path

    def open(self) -> DuckLakeWarehouse:
        runs, readers = (SecretStr(address.removeprefix("ducklake:postgres:")) for address in self[:2])
        return DuckLakeWarehouse(runs, None, self.home, readers=readers)

    def state(self, postgres: Postgres) -> tuple[list[str], list[tuple[object, ...]]]:
        """Return everything that a query must not change: every file, and every row of the catalog server."""
        tables = postgres.execute(
            "SELECT schemaname, relname, n_live_tup FROM pg_stat_user_tables ORDER BY 1, 2", "livehouse"
        )
        found = sorted(f"{file.relative_to(self.home)} {file.stat().st_size}" for file in self.home.rglob("*"))
        return found, [row[:2] for row in tables]


def make_roles(postgres: Postgres) -> None:
    done = subprocess.run(
        ["psql", "-X", "-q", "-h", postgres.directory, "-U", "postgres", "-f", ROLES],
        env=os.environ | PASSWORDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def guarded(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed: Debian's package postgresql-client")
    for database in ("livehouse", "dagster"):
        postgres.execute(f"DROP DATABASE IF EXISTS {database}")
    make_roles(postgres)
    make_roles(postgres)  # again, as after an update
    home = tmp_path_factory.mktemp("guarded")
    reached = f"ducklake:postgres:host={postgres.directory} dbname=livehouse user=livehouse"
    lake = Lake(reached, f"{reached}_reader password={PASSWORDS['LIVEHOUSE_READER_PASSWORD']}", home / "lake", home)
    with lake.open().open_working() as connection:
        connection.execute("INSERT INTO ops.loads (run_id) SELECT 'r' FROM range(1000)")
    with lake.open().open_working() as connection:  # few rows, which DuckLake keeps in the catalog
        connection.execute("INSERT INTO ops.loads (run_id) VALUES ('s')")
    return lake


@pytest.fixture(scope="module")
def opened(guarded: Lake) -> Iterator[duckdb.DuckDBPyConnection]:
    with guarded.open().open_published() as connection:
        yield connection


@pytest.fixture
def reader(opened: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyConnection:
    """Opening a lakehouse costs more than what most tests do with it."""
    opened.rollback()
    return opened.begin()


def test_readers_use_a_role_of_their_own_that_may_only_select(guarded: Lake, postgres: Postgres) -> None:
    runs, readers = guarded.open().roles()
    assert (runs.name, runs.is_superuser) == ("livehouse", False)
    assert readers is not None
    assert (readers.name, readers.is_superuser, readers.can_write) == ("livehouse_reader", False, False)
    with guarded.open().open_published() as connection:
        user_query = "SELECT usename::text FROM pg_stat_activity WHERE pid = pg_backend_pid()"
        assert connection.execute(f"FROM postgres_query('{METADATA}', $${user_query}$$)").fetchall() == [
            ("livehouse_reader",)
        ]
        assert run_query(connection, "SELECT count(*) FROM ops.loads").fetchall() == [(1001,)]
    supers = "SELECT rolname FROM pg_roles WHERE rolsuper AND rolname ~ 'livehouse|dagster'"
    assert postgres.execute(supers) == []
    closed = "SELECT has_database_privilege('livehouse_reader', 'dagster', 'CONNECT')"
    assert postgres.execute(closed) == [(False,)], "Dagster's history is none of the readers' business"


@pytest.mark.long  # three processes of `livehouse sql`
def test_the_page_of_explore_needs_the_role_of_readers_alone(guarded: Lake, tmp_path: Path) -> None:
    runner = QueryRunner()
    runner.directory = tmp_path
    runner.environment = {"PATH": os.environ["PATH"], "LIVEHOUSE_READER_WAREHOUSE": guarded.readers}
    answer = runner.run("SELECT count(*) AS loads FROM ops.loads")
    assert answer.frame is not None, answer.message
    assert answer.frame.rows() == [(1001,)]
    tables, columns = runner.list_tables(), runner.list_columns("ops.loads")
    assert tables.frame is not None, tables.message
    assert "ops.loads" in tables.frame["table"].to_list()
    assert columns.frame is not None, columns.message
    assert list(tmp_path.iterdir()) == []


def test_even_a_statement_that_reaches_postgres_writes_nothing(guarded: Lake, postgres: Postgres) -> None:
    """The role is the last line: the queries of `livehouse sql` are refused before."""
    import psycopg

    own = f"host={postgres.directory} dbname=livehouse user=livehouse_reader"
    with psycopg.connect(own, autocommit=True) as session:
        session.execute("SET default_transaction_read_only = off")
        for statement in (
            "CREATE TABLE x (i INTEGER)",
            "INSERT INTO ducklake_metadata SELECT * FROM ducklake_metadata",
            "DELETE FROM ducklake_data_file",
            "CREATE TEMP TABLE x (i INTEGER)",
            "COPY (SELECT 1) TO PROGRAM 'true'",
            "SELECT pg_read_file('/etc/passwd')",
            "CREATE ROLE x",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)


REACHES_POSTGRES = [
    f"CALL postgres_execute('{METADATA}', 'COMMIT; CREATE TABLE x (i INTEGER)')",
    f"FROM postgres_execute('{METADATA}', 'COMMIT; CREATE TABLE x (i INTEGER)')",
    f"SELECT * FROM (VALUES (1)), postgres_execute('{METADATA}', 'CREATE TABLE x (i INTEGER)')",
    f"FROM Postgres_Query('{METADATA}', 'SELECT pg_read_file(''/etc/passwd'')')",
    f"FROM system.main.\"postgres_query\"('{METADATA}', 'SELECT 1')",
    f"EXPLAIN ANALYZE FROM postgres_query('{METADATA}', 'SELECT 1')",
    f"DESCRIBE FROM postgres_query('{METADATA}', 'SELECT 1')",
    f"SUMMARIZE FROM postgres_query('{METADATA}', 'SELECT 1')",
    f"PIVOT postgres_query('{METADATA}', 'SELECT 1 AS a') ON a",
    f"WITH x AS (FROM postgres_query('{METADATA}', 'SELECT 1')) SELECT 1",
    f"SELECT (SELECT count(*) FROM postgres_query('{METADATA}', 'SELECT 1'))",
    f"FROM query('FROM postgres_query(''{METADATA}'', ''SELECT 1'')')",
    f"FROM query_table('{METADATA}.ducklake_metadata')",
    "FROM postgres_scan('host=127.0.0.1 dbname=x', 'public', 'x')",
    "FROM postgres_scan_pushdown('host=127.0.0.1 dbname=x', 'public', 'x')",
    "CALL postgres_attach('host=127.0.0.1 dbname=x')",
    "ATTACH 'host=127.0.0.1 dbname=x' AS x (TYPE postgres)",
    "SELECT json_serialize_plan('FROM postgres_scan(''host=127.0.0.1 dbname=x'', ''public'', ''x'')')",
    f"SELECT json_serialize_plan('FROM postgres_query(''{METADATA}'', ''SELECT 1'')', optimize := true)",
    f"PIVOT (FROM\u00a0postgres_query\u00a0('{METADATA}', 'SELECT 1 AS a')) ON a",
    "CALL pg_clear_cache()",
    f"CALL postgres_configure_pool(catalog_name = '{METADATA}')",
    f"FROM {METADATA}.ducklake_metadata",
    f"DELETE FROM {METADATA}.ducklake_data_file",
]
WRITES_THE_LAKE = [
    "COPY (SELECT 1) TO '{file}'",
    "COPY (SELECT 1) TO '{files}/new.parquet' (FORMAT parquet)",
    "COPY (SELECT 1 AS a) TO '{files}/new' (FORMAT parquet, PARTITION_BY (a), OVERWRITE)",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
    "EXPORT DATABASE '{files}/new'",
    "EXPORT DATABASE '{files}/new' (FORMAT parquet)",
    "CALL ducklake_expire_snapshots('lake', older_than => now())",
    "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "FROM ducklake_delete_orphaned_files('lake', cleanup_all => true)",
    "FROM ducklake_set_option('lake', 'data_inlining_row_limit', '1')",
    "FROM ducklake_merge_adjacent_files('lake')",
    "FROM lake.set_option('data_inlining_row_limit', '1')",
    "PIVOT (FROM lake.set_option('data_inlining_row_limit', '1')) ON \"Success\"",
    "PIVOT (FROM lake.options()) ON option_name USING first(value)",
    "FROM ducklake_flush_inlined_data('lake')",
    "FROM ducklake_add_data_files('lake', 'loads', '{file}')",
    "CALL enable_logging(storage = 'file', storage_config = {{'path': '{files}/log'}})",
    "FROM enable_logging(storage = 'file', storage_config = {{'path': '{files}/log'}})",
    "PRAGMA enable_profiling",
    "SET profiling_output = '{files}/profile'",
    "ATTACH '{files}/new.duckdb' AS x",
    "ATTACH 'ducklake:{files}/new.ducklake' AS x",
    "INSERT INTO ops.loads (run_id) VALUES ('x')",
    "CREATE TABLE ops.x AS SELECT 1",
    "FROM '{file}'",
    "FROM read_parquet('{file}')",
    "FROM glob('{files}/*')",
    "WITH y AS (WITH \"{file}\" AS (SELECT 1) FROM ops.loads) FROM '{file}'",
    "PIVOT (FROM ops.loads, '{file}') ON run_id",
    "PIVOT (TABLE '{file}') ON run_id",
    "PIVOT (SUMMARIZE '{file}') ON column_name",
]


@pytest.mark.parametrize("query", [*REACHES_POSTGRES, *WRITES_THE_LAKE])
def test_no_query_reaches_postgres_or_writes_a_file_of_the_lake(
    query: str, guarded: Lake, reader: duckdb.DuckDBPyConnection, postgres: Postgres
) -> None:
    before = guarded.state(postgres)
    [file, *_] = guarded.files.rglob("*.parquet")
    with pytest.raises((QueryError, duckdb.Error)):
        run_query(reader, query.format(file=file, files=guarded.files) if "{" in query else query)
    assert guarded.state(postgres) == before


def test_every_function_of_the_extensions_that_is_not_listed_is_refused(reader: duckdb.DuckDBPyConnection) -> None:
    query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_name SIMILAR TO '(postgres|pg_|ducklake|read_|.*postgres).*'"
    names = {name for (name,) in reader.execute(query).fetchall()} - TABLE_FUNCTIONS
    assert {"postgres_execute", "postgres_query", "ducklake_set_option", "read_postgres_binary"} <= names
    plain = {
        name for (name,) in duckdb.connect().execute("SELECT DISTINCT function_name FROM duckdb_functions()").fetchall()
    }
    for name in sorted(names - plain):
        for form in ("SELECT {}('a')", "FROM {}('a')", "CALL {}('a')", "FROM ops.loads WHERE run_id IN (FROM {}('a'))"):
            with pytest.raises(QueryError):
                run_query(reader, form.format(name))


@pytest.mark.long
def test_the_command_line_reads_by_the_readers_setting_alone(guarded: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """An analyst's machine needs neither the role of the runs nor its password."""
    environment = {"LIVEHOUSE_READER_WAREHOUSE": guarded.readers, "LIVEHOUSE_HOME": f"{guarded.home / 'analyst'}"}
    status, out, err = run_cli(environment, "sql", "SELECT count(*) AS n FROM ops.loads", "--format", "csv")
    assert (status, out) == (0, "n\n1001\n"), err
    for query in (REACHES_POSTGRES[0], "COPY (SELECT 1) TO 'x.csv'", "SELECT 1; SELECT 2", "FROM duckdb_secrets()"):
        status, _, err = run_cli(environment, "sql", query)
        assert (status, err.count("\n")) == (1, 1)
        assert PASSWORDS["LIVEHOUSE_READER_PASSWORD"] not in err
    monkeypatch.setenv("LIVEHOUSE_WAREHOUSE", guarded.runs)
    status, out, err = run_cli(environment, "sql", "SELECT count(*) AS n FROM ops.loads", "--format", "csv")
    assert (status, out) == (0, "n\n1001\n"), err


def test_the_password_is_not_in_the_environment_while_a_query_runs(
    guarded: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq would send it to whichever host a query names."""
    monkeypatch.setenv("PGPASSWORD", PASSWORDS["LIVEHOUSE_PASSWORD"])
    with guarded.open().open_published() as connection:
        assert "PGPASSWORD" not in os.environ
        assert run_query(connection, "SELECT count(*) FROM ops.loads").fetchall() == [(1001,)]
    assert os.environ["PGPASSWORD"] == PASSWORDS["LIVEHOUSE_PASSWORD"], "a later run of this process needs it"


def test_a_role_that_may_not_read_is_one_line_with_the_remedy(guarded: Lake, postgres: Postgres) -> None:
    postgres.execute("DROP ROLE IF EXISTS nobody_reads")
    postgres.execute("CREATE ROLE nobody_reads LOGIN")
    postgres.execute("GRANT CONNECT ON DATABASE livehouse TO nobody_reads", "livehouse")
    postgres.execute("GRANT USAGE ON SCHEMA public TO nobody_reads", "livehouse")
    try:
        lake = guarded._replace(readers=guarded.runs.replace("user=livehouse", "user=nobody_reads"))
        with (
            pytest.raises(WarehouseError, match=r"permission denied.*roles\.sql") as raised,
            lake.open().open_published(),
        ):
            pass
        assert "\n" not in str(raised.value)
    finally:
        postgres.execute("DROP OWNED BY nobody_reads", "livehouse")
        postgres.execute("DROP ROLE nobody_reads")


@pytest.mark.parametrize("given", ["warehouse.duckdb", "postgres:host=x", "ducklake:sqlite:x", "ducklake:postgres:"])
def test_readers_are_given_a_lakehouse_or_nothing(given: str) -> None:
    status, _, err = run_cli({"LIVEHOUSE_READER_WAREHOUSE": given}, "sql", "SELECT 1")
    assert status == 2
    assert err.startswith("livehouse: LIVEHOUSE_READER_WAREHOUSE is malformed: it takes ducklake:postgres:")
    assert err.count("\n") == 1


@pytest.mark.long
def test_doctor_reports_excess_rights_of_a_role(
    guarded: Lake, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(**settings: str) -> str:
        with monkeypatch.context() as patch:
            for name, value in {"LIVEHOUSE_HOME": f"{tmp_path}", **settings}.items():
                patch.setenv(name, value)
            return "\n".join(f"{one.state} {one.subject}: {one.message}; {one.remedy}" for one in diagnose())

    err = found(LIVEHOUSE_WAREHOUSE=guarded.runs, LIVEHOUSE_READER_WAREHOUSE=guarded.readers)
    assert "ok roles: livehouse for runs, livehouse_reader for readers" in err
    assert "warning roles: readers use livehouse, which may write" in found(LIVEHOUSE_WAREHOUSE=guarded.runs)
    assert "ok roles: livehouse_reader" in found(LIVEHOUSE_READER_WAREHOUSE=guarded.readers)
    both = {"LIVEHOUSE_WAREHOUSE": guarded.runs, "LIVEHOUSE_READER_WAREHOUSE": f"{guarded.runs} application_name=x"}
    assert "warning roles: readers" in found(**both)
    with DuckLakeWarehouse(SecretStr(lake.removeprefix("ducklake:postgres:")), None, tmp_path).open_working():
        pass
    assert "postgres is a superuser" in found(LIVEHOUSE_WAREHOUSE=lake)


@pytest.mark.parametrize("has_own_key", [False, True])
def test_credentials_of_s3_are_shown_by_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, has_own_key: bool
) -> None:
    """httpfs keeps what it finds in the environment in settings, which DuckDB shows."""
    pytest.importorskip("duckdb_extension_httpfs", reason="the extra `lakehouse` is not installed")
    given = {"ACCESS_KEY_ID": "of-the-runs", "SECRET_ACCESS_KEY": "hush-hush-4", "SESSION_TOKEN": "hush-hush-5"}
    for name, value in given.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REGION", "eu-far-1")
    monkeypatch.setenv("HOME", f"{tmp_path}")
    key = S3Key("of-the-readers", SecretStr("hush-hush-6")) if has_own_key else None
    with connect_with_extensions([find_extension("httpfs")], is_reader=True) as connection:
        restrict_access(connection, "s3://bucket/two words/", key)
        shown = repr(
            [
                connection.execute(f"FROM {name}").fetchall()
                for name in ("duckdb_settings()", "duckdb_secrets()", "pg_settings")
            ]
        )
        used = connection.execute("FROM which_secret('s3://bucket/two words/core/x.parquet', 's3')").fetchall()
    assert "hush-hush" not in shown
    assert used[0][0] == "livehouse_reader_files"
    assert f"key_id={'of-the-readers' if has_own_key else 'of-the-runs'}" in shown
    assert "region=eu-far-1" in shown


@pytest.mark.parametrize(
    "query",
    [
        *("FROM ops.loads", "DESCRIBE ops.loads", "SUMMARIZE ops.loads", "SHOW ALL TABLES", "TABLE ops.loads"),
        *("PIVOT ops.loads ON run_id USING count(*)", "PIVOT ops.loads ON run_id IN ('r') USING count(*)"),
        *("EXPLAIN FROM ops.loads", "EXPLAIN ANALYZE FROM ops.loads", "PRAGMA table_info('ops.loads')"),
        *("FROM ops.loads AT (VERSION => 1)", "FROM ops.loads AT (TIMESTAMP => now())", "FROM lake.ops.loads"),
        *(
            "FROM ducklake_snapshots('lake')",
            "FROM ducklake_table_info('lake')",
            "FROM ducklake_current_snapshot('lake')",
        ),
        "FROM ducklake_table_changes('lake', 'ops', 'loads', 0, 1)",
        *("SELECT count(*) FROM ops.loads USING SAMPLE 10%", "FROM duckdb_tables()", "FROM information_schema.columns"),
    ],
)
def test_every_way_to_read_works_on_a_lakehouse(query: str, reader: duckdb.DuckDBPyConnection) -> None:
    run_query(reader, query).fetchall()


def test_a_readers_key_goes_to_the_service_that_a_stored_secret_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another service than Amazon's is named in that secret alone."""
    pytest.importorskip("duckdb_extension_httpfs", reason="the extra `lakehouse` is not installed")
    monkeypatch.setenv("HOME", f"{tmp_path}")
    stored = "KEY_ID 'of-the-runs', SECRET 'hush-hush-4', ENDPOINT 's3.test:9000', URL_STYLE 'path', USE_SSL false"
    with connect_with_extensions([find_extension("httpfs")]) as connection:
        connection.execute(f"CREATE PERSISTENT SECRET livehouse_files (TYPE s3, {stored}, SCOPE 's3://')")
    with connect_with_extensions([find_extension("httpfs")], is_reader=True) as connection:
        restrict_access(connection, "s3://bucket/two words/", S3Key("of-the-readers", SecretStr("hush-hush-6")))
        used = "SELECT secret_string FROM duckdb_secrets() WHERE name IN (SELECT name FROM which_secret('s3://bucket/two words/x', 's3'))"
        [(err,)] = connection.execute(used).fetchall()
    assert {"key_id=of-the-readers", "endpoint=s3.test:9000", "url_style=path", "use_ssl=false"} <= set(err.split(";"))

"""A lakehouse by itself: made once, reached without showing the password, shut for readers, alone for who writes."""

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest
from pydantic import SecretStr

from pipelines.catalog.ops import FIELD_TYPES
from pipelines.clock import machine_now, utc_now
from pipelines.errors import AlreadyRunningError, SettingsError, WarehouseError
from pipelines.load.raw_tables import begin_backfill
from pipelines.storage import postgres as catalog
from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from pipelines.storage.frames import temporary_view
from pipelines.storage.postgres import Catalog
from tests.pipeline_runner import DAYS
from tests.postgres import Postgres

PASSWORD = "hush-hush-7"
LOADS = "SELECT count(*) FROM ops.loads"


def lakehouse(address: str, home: Path, files: str | None = None) -> DuckLakeWarehouse:
    return DuckLakeWarehouse(SecretStr(address.removeprefix("ducklake:postgres:")), files, home)


@pytest.mark.long
def test_it_is_made_with_every_table_its_comments_and_partitions(lake: str, tmp_path: Path) -> None:
    made = lakehouse(lake, tmp_path)
    assert not made.exists()
    with made.open_working() as connection:
        bare = connection.execute(
            "SELECT table_name, column_name FROM duckdb_columns()"
            " WHERE database_name = 'lake' AND comment IS NULL AND NOT internal"
        ).fetchall()
        partitions = connection.execute(
            "SELECT schema_name || '.' || table_name, list(column_name || ' ' || transform ORDER BY partition_key_index)"
            " FROM __ducklake_metadata_lake.ducklake_partition_column AS p"
            " JOIN __ducklake_metadata_lake.ducklake_column AS c USING (table_id, column_id)"
            " JOIN __ducklake_metadata_lake.ducklake_table AS t USING (table_id)"
            " JOIN __ducklake_metadata_lake.ducklake_schema USING (schema_id) GROUP BY ALL"
        ).fetchall()
    assert made.exists()
    assert bare == []
    assert dict(partitions)["core.livestream_sessions"] == ["app_id identity", "day identity"]
    assert dict(partitions)["core.recordings_daily"] == ["app_id identity", "day year"]
    assert dict(partitions)["raw.app_analytics"] == ["app_id identity"]


@pytest.mark.long
def test_readers_can_neither_write_nor_read_other_files(lake: str, tmp_path: Path) -> None:
    made = lakehouse(lake, tmp_path)
    (tmp_path / "other.csv").write_text("a\n1\n")
    with pytest.raises(WarehouseError, match="no tables yet"), made.open_published():
        pass
    with made.open_working() as connection:
        connection.execute("INSERT INTO ops.loads (run_id) SELECT 'r' FROM range(1000)")
    with made.open_published() as connection:
        assert connection.execute("SELECT count(*) FROM ops.loads").fetchall() == [(1000,)]
        for query in (
            f"FROM '{tmp_path}/other.csv'",
            "DELETE FROM ops.loads",
            "CREATE TABLE ops.x (i INTEGER)",
            "SET TimeZone = 'UTC'",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(query)
            connection.rollback()
            connection.begin()


@pytest.mark.long
def test_a_reader_sees_one_moment_only(lake: str, tmp_path: Path) -> None:
    made = lakehouse(lake, tmp_path)
    with made.run(wait_seconds=0, log=print):
        made.write(lambda connection: connection.execute("INSERT INTO ops.loads (run_id) VALUES ('one')"))
        with made.open_published() as reader:
            assert reader.execute(LOADS).fetchall() == [(1,)]
            made.write(lambda connection: connection.execute("INSERT INTO ops.loads (run_id) VALUES ('two')"))
            assert reader.execute(LOADS).fetchall() == [(1,)]
        assert made.write(lambda connection: connection.execute(LOADS).fetchall()) == [(2,)]


@pytest.fixture
def guarded(postgres: Postgres) -> str:
    """A lakehouse whose user has a password; the test's server asks nobody for it."""
    postgres.execute("DROP ROLE IF EXISTS guarded")
    postgres.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    return postgres.new_database().replace("user=postgres", f"user=guarded password={PASSWORD}")


def test_the_password_is_shown_by_nothing(guarded: str, postgres: Postgres, tmp_path: Path) -> None:
    made = lakehouse(guarded, tmp_path)
    with made.open_working() as connection:
        messages = [
            connection.execute(f"FROM {function}()").fetchall()
            for function in ("duckdb_databases", "duckdb_secrets", "duckdb_settings")
        ]
    assert PASSWORD not in f"{messages} {made.address} {vars(made)}"
    gone = lakehouse(guarded.replace(f"host={postgres.directory}", "host=/nowhere"), tmp_path)
    with pytest.raises(WarehouseError, match="start PostgreSQL") as raised, gone.open_published():
        pass
    assert PASSWORD not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_malformed_connection_string_is_reported_without_its_text(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra `lakehouse` is not installed")
    with pytest.raises(SettingsError, match="LIVEHOUSE_WAREHOUSE is malformed") as raised:
        lakehouse(f"ducklake:postgres:{PASSWORD}", tmp_path)
    assert PASSWORD not in str(raised.value)


@pytest.mark.long
@pytest.mark.parametrize("missing", ["psycopg", "duckdb_extension_ducklake"])
def test_without_the_extra_the_error_names_it(missing: str, tmp_path: Path) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from pipelines.cli import main; main(['sql', 'SELECT 1'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"LIVEHOUSE_WAREHOUSE": f"ducklake:postgres:host={tmp_path} dbname=x", "LIVEHOUSE_HOME": f"{tmp_path}"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'livehouse[lakehouse]'" in done.stderr


@pytest.mark.parametrize(("minutes", "messages"), [(2, r"12\d s ahead of"), (-2, r"1[12]\d s behind")])
def test_a_machine_whose_clock_is_off_does_not_run(
    minutes: int, messages: str, lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Marts take what was loaded since they were built: days loaded by a clock long behind were never in them."""
    monkeypatch.setattr(catalog, "machine_now", lambda: machine_now() + timedelta(minutes=minutes))
    with pytest.raises(WarehouseError, match=messages), lakehouse(lake, tmp_path).run(wait_seconds=0, log=print):
        pass


@pytest.mark.long
def test_one_at_a_time_works_on_a_table_of_an_app(lake: str, tmp_path: Path) -> None:
    one, two = lakehouse(lake, tmp_path), lakehouse(lake, tmp_path)
    messages: list[str] = []
    with one.run(wait_seconds=0, log=print), two.run(wait_seconds=0.01, log=messages.append):
        with one.lock_table("core.x", "a"), two.lock_table("core.x", "b"), two.lock_table("core.y", "a"):
            with pytest.raises(AlreadyRunningError, match="LIVEHOUSE_LOCK_WAIT_SECONDS"), two.lock_table("core.x", "a"):
                pass
        assert messages == ["waiting for another run, which is working on core.x of a"]
        with two.lock_table("core.x", "a"):
            pass


@pytest.mark.long
def test_what_extraction_learns_of_all_apps_is_noted_once(lake: str, tmp_path: Path) -> None:
    """Seen: four workers that met a field for the first time at once left it in ops.field_types twice."""
    one, two = lakehouse(lake, tmp_path), lakehouse(lake, tmp_path)
    began, landed = threading.Event(), threading.Event()
    given = "'raw.x' AS table_name, 'id' AS field, 'string' AS json_type, 1 AS records"
    given += ", NULL::TIMESTAMP AS first_seen_at, NULL::TIMESTAMP AS last_seen_at"
    seen = FIELD_TYPES.merge_sql(f"(SELECT {given})")

    def slow(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("BEGIN")
        connection.execute(seen)
        began.set()
        landed.wait(1)
        connection.execute("COMMIT")

    def quick(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(seen)

    def beside() -> None:
        began.wait(60)
        two.write_raw(quick)
        landed.set()

    with one.run(wait_seconds=0, log=print), two.run(wait_seconds=0, log=print):
        for store in (one, two):
            with store.open_working():
                pass
        thread = threading.Thread(target=beside)
        thread.start()
        one.write_raw(slow)
        thread.join()
        with two.open_working() as connection:
            assert connection.execute("SELECT count(*) FROM ops.field_types").fetchall() == [(1,)]


@pytest.mark.long
def test_a_machine_that_vanished_is_noticed_by_the_server(lake: str, tmp_path: Path) -> None:
    """By default PostgreSQL keeps the locks of a machine without power for two hours."""
    address = lake + " options='-c work_mem=8MB'"
    settings_query = "SELECT name, setting FROM pg_settings WHERE source = 'client' AND name ~ '^(tcp_|work_mem)'"
    noticed = {
        *("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout"),
        "work_mem",
    }
    with Catalog(SecretStr(address.removeprefix("ducklake:postgres:"))).connect() as session:
        assert {name for name, _ in session.execute(settings_query)} == noticed
    with lakehouse(address, tmp_path).open_working() as connection:
        theirs = connection.execute("FROM postgres_query('__ducklake_metadata_lake', ?)", [settings_query]).fetchall()
        assert {name for name, _ in theirs} == noticed


@pytest.mark.long
def test_a_connection_that_is_cut_is_one_line_and_the_next_write_has_a_new_one(
    lake: str, postgres: Postgres, tmp_path: Path
) -> None:
    """Seen: `a fault of livehouse itself`, with DuckDB's questions to the catalog in it, and all later writes failed."""
    made, database = lakehouse(lake, tmp_path), lake.rpartition("=")[2]
    rows = pl.DataFrame({"run_id": ["r"]})
    of_duckdb = f"application_name NOT LIKE 'livehouse%' AND datname = '{database}'"
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {of_duckdb}"

    def note(connection: duckdb.DuckDBPyConnection, *, cut_off: bool) -> None:
        with temporary_view(connection, "noted", rows):
            connection.execute("BEGIN")
            connection.execute("INSERT INTO ops.loads BY NAME SELECT * FROM noted")
            if cut_off:
                postgres.execute(cut)
            connection.execute("UPDATE ops.days SET row_count = 1 WHERE app_id = 'a'")
            connection.execute("COMMIT")

    with made.run(wait_seconds=0, log=print):
        made.write(lambda connection: note(connection, cut_off=False))
        with pytest.raises(WarehouseError, match="lost the connection to PostgreSQL") as raised:
            made.write(lambda connection: note(connection, cut_off=True))
        assert "\n" not in str(raised.value)
        assert "SELECT" not in str(raised.value)
        made.write(lambda connection: note(connection, cut_off=False))
    with made.open_published() as connection:
        assert connection.execute(LOADS).fetchall() == [(2,)]
        postgres.execute(cut)
        with pytest.raises(duckdb.Error):
            connection.execute("SELECT count(*) FROM ops.days").fetchall()


@pytest.mark.long
def test_who_is_overtaken_does_it_again(lake: str, tmp_path: Path) -> None:
    stores = [lakehouse(lake, tmp_path) for _ in range(2)]

    def add(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("BEGIN")
        connection.execute("UPDATE ops.loads SET rows_landed = rows_landed + 1")
        connection.execute("COMMIT")

    def work(store: DuckLakeWarehouse) -> None:
        for _ in range(6):
            store.write(add)

    one, two = stores
    with one.run(wait_seconds=10, log=print), two.run(wait_seconds=10, log=print):
        rows = "INSERT INTO ops.loads (run_id, rows_landed) SELECT 'r', 0 FROM range(100)"
        one.write(lambda connection: connection.execute(rows))
        threads = [threading.Thread(target=work, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        landed = "SELECT DISTINCT rows_landed FROM ops.loads"
        assert one.write(lambda connection: connection.execute(landed).fetchall()) == [(12,)]


def test_what_fails_half_way_is_undone(lake: str, tmp_path: Path) -> None:
    made = lakehouse(lake, tmp_path)

    def fail(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("BEGIN")
        connection.execute("INSERT INTO ops.loads (run_id) VALUES ('half')")
        raise ZeroDivisionError

    with made.run(wait_seconds=0, log=print):
        with pytest.raises(ZeroDivisionError):
            made.write(fail)
        made.write(lambda connection: begin_backfill(connection, "a", *DAYS, is_full=False, now=utc_now()))
        with made.open_working() as connection:
            assert connection.execute(LOADS).fetchall() == [(0,)]
            assert connection.execute("SELECT count(*) FROM ops.open_backfills").fetchall() == [(1,)]

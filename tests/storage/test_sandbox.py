"""Queries that people type: every way to read works, every way to write, or to read anything else, is refused."""

import unicodedata
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.errors import QueryError, UsageError
from pipelines.storage.publish import open_published
from pipelines.storage.sandbox import REFUSED_SCALARS, TABLE_FUNCTIONS, check_query, run_query


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sandbox") / "warehouse.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute("CREATE SCHEMA marts; CREATE SEQUENCE marts.s")
        connection.execute("CREATE TABLE marts.t AS SELECT 1 AS a, 'x' AS b, DATE '2026-01-01' AS d")
    return path


@pytest.fixture
def reader(file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_published(file) as connection:
        yield connection


READS = [
    *("SELECT 1", "select 1;", "-- a comment\nSELECT 1; -- and another", "(SELECT 1)", "VALUES (1)", "TABLE marts.t"),
    *("FROM marts.t", "FROM marts.t SELECT a", "WITH x AS (SELECT 1) FROM x", 'WITH "a.b" AS (SELECT 1) FROM "a.b"'),
    *("DESCRIBE marts.t", "DESC marts.t", "DESCRIBE SELECT 1", "SUMMARIZE marts.t", "SUMMARIZE FROM marts.t"),
    *("SHOW TABLES", "SHOW ALL TABLES", "SHOW DATABASES", "FROM (DESCRIBE marts.t)", "FROM (SHOW ALL TABLES)"),
    *("PIVOT marts.t ON b USING sum(a)", "FROM (PIVOT marts.t ON b USING sum(a) GROUP BY d)"),
    *("PIVOT marts.t ON b IN ('x') USING sum(a)", "WITH p AS (PIVOT marts.t ON b USING sum(a)) FROM p"),
    *("UNPIVOT marts.t ON a INTO NAME n VALUE v", "FROM marts.t UNPIVOT (v FOR n IN (a))"),
    *("EXPLAIN SELECT 1", "EXPLAIN ANALYZE FROM marts.t", "EXPLAIN (FORMAT json) (SELECT 1)", "EXPLAIN (SELECT 1)"),
    *("PRAGMA table_info('marts.t')", "PRAGMA show_tables", "PRAGMA database_list", "PRAGMA version"),
    *("SELECT row_number() OVER (ORDER BY a) FROM marts.t", "SELECT COLUMNS('a|b') FROM marts.t"),
    *(
        "SELECT list_transform([1, 2], lambda x: x + 1)",
        "SELECT [x * 2 FOR x IN [1, 2]]",
        "SELECT max_by(a, b) FROM marts.t",
    ),
    *("SELECT extract(year FROM d), d + INTERVAL 1 DAY, a::VARCHAR || b, {'x': 1}.x, MAP {1: 2} FROM marts.t",),
    *("SELECT count(*) FILTER (a > 0), b LIKE 'x%', CASE WHEN a BETWEEN 1 AND 2 THEN 1 END FROM marts.t GROUP BY ALL",),
    *("FROM range(3)", "FROM marts.t, unnest([1, 2])", "FROM marts.t x ASOF JOIN marts.t y ON x.a >= y.a"),
    *("FROM marts.t USING SAMPLE 10%", "FROM duckdb_tables()", "FROM information_schema.tables", "FROM duckdb_columns"),
    *("SELECT today(), now(), current_date, version()", "SELECT (SELECT max(a) FROM marts.t)", "FROM json_each('[1]')"),
    "PIVOT marts.t ON b USING first(if(ifnull(a, 0) IN (1, 2), coalesce(a, 3), nullif(4, 5)))",
    "PIVOT (SELECT upper(b) AS\u00a0u, list_sum([CAST(a AS INTEGER)]) AS s FROM marts.t, range(2)) ON u USING sum(s)",
    "PIVOT (WITH w AS MATERIALIZED (FROM marts.t) SELECT * EXCLUDE (a), sum(a) OVER (ORDER BY a) AS s FROM w) ON b USING sum(s)",
    "PIVOT marts.t ON b USING sum(a), first(strftime(d, '%d/%m')) -- a day's comment",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) FROM r",
]


@pytest.mark.parametrize("query", READS)
def test_every_way_to_read_works(query: str, reader: duckdb.DuckDBPyConnection) -> None:
    run_query(reader, query).fetchall()


WRITES = [
    *("COPY (SELECT 1) TO '{path}'", "COPY marts.t TO '{path}' (FORMAT csv)", "COPY marts.t FROM '{path}'"),
    *("COPY (SELECT 1) TO '{path}.wal'", "COPY FROM DATABASE warehouse TO x", "EXPORT DATABASE '{path}'"),
    *("EXPLAIN COPY (SELECT 1) TO '{path}'", "EXPLAIN ANALYZE COPY (SELECT 1) TO '{path}.wal'"),
    *("EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{path}.wal'", "EXPLAIN ANALYZE CREATE TEMP TABLE x AS SELECT 1"),
    *("EXPLAIN ANALYZE INSERT INTO marts.t SELECT 1, 'a', today()", "EXPLAIN ANALYZE DELETE FROM marts.t"),
    *("IMPORT DATABASE '{path}'", "ATTACH ':memory:' AS x", "ATTACH '{path}' AS x", "DETACH x", "USE memory"),
    *("INSERT INTO marts.t VALUES (1)", "INSERT INTO marts.t VALUES (1, 'x', NULL) RETURNING a", "DELETE FROM marts.t"),
    *("UPDATE marts.t SET a = 2", "TRUNCATE marts.t", "DROP TABLE marts.t", "ALTER TABLE marts.t ADD COLUMN c INT"),
    *("MERGE INTO marts.t USING marts.t AS u ON true WHEN MATCHED THEN DELETE", "COMMENT ON TABLE marts.t IS 'x'"),
    *("CREATE TABLE x AS SELECT 1", "CREATE TEMP TABLE x AS SELECT 1", "CREATE VIEW x AS SELECT 1", "CREATE SCHEMA x"),
    *("CREATE MACRO f() AS 1", "CREATE TEMP MACRO f() AS 1", "CREATE TYPE x AS ENUM ('a')", "CREATE SEQUENCE x"),
    *("CREATE SECRET (TYPE http)", "CREATE PERSISTENT SECRET s (TYPE http, BEARER_TOKEN 'x')", "DROP SECRET s"),
    *("CREATE TABLE x AS PIVOT marts.t ON b", "COPY (PIVOT marts.t ON b) TO '{path}'", "CREATE INDEX i ON marts.t (a)"),
    *(
        "SET threads = 1",
        "SET profiling_output = '{path}'",
        "SET VARIABLE x = 1",
        "RESET threads",
        "SET GLOBAL threads = 1",
    ),
    *("PRAGMA enable_profiling", "PRAGMA profiling_output = '{path}'", "PRAGMA threads = 1", "PRAGMA force_checkpoint"),
    *("PRAGMA import_database('{path}')", "PRAGMA copy_database('a', 'b')", "PRAGMA add_parquet_key('a', 'b')"),
    *("CALL enable_logging(storage = 'file')", "CALL pragma_version()", "CALL checkpoint()", "CALL duckdb_secrets()"),
    *("INSTALL httpfs", "LOAD httpfs", "FORCE INSTALL httpfs", "UPDATE EXTENSIONS", "LOAD '{path}'"),
    *("PREPARE p AS SELECT 1", "EXECUTE p", "DEALLOCATE p", "BEGIN", "COMMIT", "ROLLBACK", "ABORT"),
    *("VACUUM", "ANALYZE", "CHECKPOINT", "FORCE CHECKPOINT"),
    *(
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY (SELECT 1) TO '{path}'",
        "BEGIN; SELECT 1",
        "CREATE TYPE x AS ENUM ('a'); SELECT 1",
    ),
    *("PIVOT marts.t ON b; SELECT 1", "PIVOT marts.t ON b; DROP TABLE marts.t", "SELECT 1; PIVOT marts.t ON b"),
]

INSPECTIONS = [
    *(
        "FROM '{path}'",
        'FROM "{path}"',
        "FROM 'x.csv'",
        "SELECT * FROM marts.t JOIN 'x.parquet' USING (a)",
        "DESCRIBE 'x.csv'",
    ),
    *("FROM read_csv('{path}')", "FROM read_text('{path}')", "FROM read_blob('{path}')", "FROM glob('*')"),
    *("FROM system.main.read_csv('{path}')", "FROM \"read_csv\"('{path}')", "FROM READ_CSV('{path}')"),
    *("FROM query('SELECT 1')", "FROM query_table('marts.t')", "FROM sniff_csv('{path}')", "FROM parquet_schema('x')"),
    *(
        "SELECT 1 WHERE 1 IN (FROM glob('*'))",
        "SELECT (SELECT count(*) FROM glob('*'))",
        "WITH x AS (FROM glob('*')) SELECT 1",
    ),
    *("FROM marts.t, LATERAL (FROM glob('*'))", "SELECT 1 UNION ALL FROM glob('*')", "EXPLAIN FROM glob('*')"),
    *(
        "EXPLAIN ANALYZE FROM glob('*')",
        "SUMMARIZE FROM glob('*')",
        "DESCRIBE FROM glob('*')",
        "FROM (SUMMARIZE FROM glob('*'))",
    ),
    *("PIVOT (FROM glob('*')) ON file", "PIVOT glob /* x */ ('*') ON file", "FROM (PIVOT \"glob\"('*') ON file)"),
    *("PIVOT '{path}' ON a", 'PIVOT "{path}" ON a', "PIVOT pg_settings ON name USING first(setting)"),
    *("PIVOT marts.t ON current_setting('temp_directory')", "UNPIVOT glob('*') ON file"),
    *("SELECT current_setting('temp_directory')", "SELECT pg_catalog.current_setting('x')", "SELECT getenv('HOME')"),
    *(
        "SELECT b FROM marts.t ORDER BY current_setting(b)",
        "SELECT sum(a) OVER (PARTITION BY current_setting(b)) FROM marts.t",
    ),
    *("SELECT sum(a) FILTER (current_setting(b) = 'x') FROM marts.t", "SELECT [current_setting(x) FOR x IN ['a']]"),
    *("SELECT a FROM marts.t GROUP BY a HAVING current_setting('x') = ''", "FROM range(length(current_setting('x')))"),
    *("SELECT a FROM marts.t LIMIT (SELECT length(current_setting('x')))", "VALUES (current_setting('x'))"),
    *(
        "FROM pg_settings",
        "FROM pg_catalog.pg_settings",
        "FROM system.pg_catalog.pg_settings",
        "FROM duckdb_settings()",
    ),
    *(
        "FROM duckdb_secrets()",
        "FROM duckdb_secrets(redact = false)",
        "FROM which_secret('s3://x', 's3')",
        "FROM duckdb_logs",
    ),
    *("FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))", "FROM python_map_function(1, 2)"),
    *("PRAGMA json_execute_serialized_sql(json_serialize_sql('FROM glob(''*'')'))", "FROM arrow_scan(1, 2, 3)"),
    *(
        "FROM postgres_scan('host=127.0.0.1', 'a', 'b')",
        "FROM postgres_query('lake', 'x')",
        "FROM postgres_execute('a', 'b')",
    ),
    *("FROM __ducklake_metadata_lake.ducklake_metadata", "FROM __ducklake_metadata_lake.public.livehouse_budget"),
    *("PIVOT __ducklake_metadata_lake.x ON a", 'FROM "__DuckLake_metadata_lake".pg_catalog.pg_authid'),
    *(
        "PIVOT (FROM marts.t, '{path}.csv') ON a",
        "PIVOT (FROM marts.t, $${path}.csv$$) ON a",
        "PIVOT (TABLE '{path}') ON a",
    ),
    *(
        "PIVOT (FROM marts.t, E'x\\x2ecsv') ON a",
        "PIVOT (FROM marts.t, 'x.'\n'csv') ON a",
        "PIVOT (DESCRIBE '{path}') ON a",
    ),
    *("PIVOT (SUMMARIZE '{path}') ON a", "WITH y AS (WITH \"x.csv\" AS (SELECT 1) FROM marts.t) FROM 'x.csv'"),
    *("SELECT json_serialize_plan('SELECT current_setting(''x'')')", "SELECT json_serialize_plan(b) FROM marts.t"),
    *(
        "PIVOT (FROM\u00a0glob\u00a0('*')) ON file",
        "PIVOT (FROM \u3000glob\ufeff('*')) ON file",
        "EXPLAIN\u00a0FROM glob('*')",
    ),
    *("PIVOT (FROM lake.options()) ON option_name", "PIVOT (FROM nobody_knows('x')) ON a"),
    *("FROM x.csv", 'FROM "{path}".parquet', 'FROM a.b."c.parquet"', 'DESCRIBE x."csv"', "PIVOT (FROM x.csv) ON a"),
    *("SELECT (FROM x.db)", 'PIVOT (FROM marts.t, "{path}" . /* */ parquet) ON a', "FROM x.csv AS marts"),
    *(f'PIVOT "{"./" * 600}x.csv" ON a', f'PIVOT (FROM marts.t, "{"./" * 600}x.csv") ON b'),
    *("SELECT nextval('marts.s')", "SELECT write_log('x')", "SELECT __internal_decompress_string(1)"),
]


@pytest.mark.parametrize("query", [*WRITES, *INSPECTIONS])
def test_everything_else_is_refused_and_leaves_nothing(
    query: str, file: Path, reader: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    before = sorted(file.parent.iterdir()), file.read_bytes()
    query = query.replace("{path}", f"{file}")
    with pytest.raises((QueryError, duckdb.Error)):
        run_query(reader, query)
    assert (sorted(file.parent.iterdir()), file.read_bytes()) == before
    assert list(tmp_path.iterdir()) == []
    reader.execute("FROM marts.t").fetchall()


@pytest.mark.parametrize(
    "query", [query for query in INSPECTIONS if "csv" in query or "{path}" in query or "serialize_plan" in query]
)
def test_the_check_refuses_files_and_texts_of_queries_by_itself(query: str, reader: duckdb.DuckDBPyConnection) -> None:
    """On a lakehouse DuckDB may read the files of the lake, and a query in a text would connect to any host."""
    with pytest.raises((QueryError, duckdb.ParserException)):
        check_query(reader, query.replace("{path}", "/lake/x.parquet"))


def test_a_query_may_take_a_part_of_the_memory_and_of_the_disk(reader: duckdb.DuckDBPyConnection) -> None:
    names = ("memory_limit", "max_temp_directory_size", "threads")
    found = dict(reader.execute("SELECT name, value FROM duckdb_settings() WHERE name IN ?", [names]).fetchall())
    assert (found["memory_limit"], found["max_temp_directory_size"]) == ("1.8 GiB", "3.7 GiB")
    assert 1 <= int(found["threads"]) <= 4


def test_every_function_of_duckdb_that_reads_no_table_is_refused_in_every_form(
    reader: duckdb.DuckDBPyConnection,
) -> None:
    """An extension, or a newer DuckDB, may bring functions nobody here has heard of."""
    found = reader.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('table', 'table_macro')"
    ).fetchall()
    names = {name for (name,) in found} - TABLE_FUNCTIONS
    assert {"read_csv", "query", "checkpoint", "enable_logging", "duckdb_secrets"} <= names
    forms = (
        "FROM marts.t, {}('a', b := 2)",
        "EXPLAIN FROM {}('a')",
        "PIVOT {}() ON a",
        "FROM (PIVOT (FROM {} (1)) ON b)",
    )
    for number, name in enumerate(sorted(names)):
        for form in ("FROM {}()", "CALL {}()", forms[number % len(forms)]):
            with pytest.raises((QueryError, duckdb.Error)):
                check_query(reader, form.format(name))


@pytest.mark.parametrize(
    "form", ["PIVOT (FROM{0}glob{0}('*')) ON file", "PIVOT ({0}FROM lake{0}.{0}glob{0}('*')) ON file"]
)
def test_no_space_of_unicode_hides_a_function(form: str, reader: duckdb.DuckDBPyConnection) -> None:
    """DuckDB's parser takes them as spaces; its tokenizer, as letters."""
    spaces = [chr(code) for code in range(128, 0x10000) if unicodedata.category(chr(code)) in {"Zs", "Zl", "Zp", "Cf"}]
    assert "\u200b" in spaces
    for space in spaces:
        with pytest.raises((QueryError, duckdb.Error)):
            check_query(reader, form.format(space))


def test_every_kind_of_statement_is_tried(reader: duckdb.DuckDBPyConnection) -> None:
    tried = set()
    for query in [*READS, *WRITES]:
        try:
            tried |= {statement.type.name for statement in reader.extract_statements(query)}
        except duckdb.Error:  # IMPORT reads its file before it is a statement
            continue
    of_no_text = {"INVALID", "EXTENSION", "RELATION", "LOGICAL_PLAN", "MULTI", "ANALYZE", "CREATE_FUNC", "VARIABLE_SET"}
    assert {name for name in dir(duckdb.StatementType) if name.isupper()} - of_no_text <= tried


def test_no_variable_of_the_program_is_read(reader: duckdb.DuckDBPyConnection) -> None:
    secret_rows = duckdb.connect().sql("SELECT 1")
    with pytest.raises(duckdb.CatalogException):
        run_query(reader, "FROM secret_rows")
    assert secret_rows


@pytest.mark.parametrize("empty", ["", " ; ", "-- nothing"])
def test_an_empty_query_is_a_mistake_of_usage(empty: str, reader: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UsageError, match="is empty"):
        run_query(reader, empty)


@pytest.mark.parametrize("query", ["SELECT '\udcff'", "PIVOT marts.t ON b -- \udcff"])
def test_bytes_that_are_no_text_are_a_mistake_of_usage(query: str, reader: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(UsageError, match="not UTF-8"):
        run_query(reader, query)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(
        ["SELECT {}", "FROM ({})", "WITH x AS ({}) FROM x", "EXPLAIN {}", "SELECT ({})", "{} UNION ALL SELECT 1"]
    ),
    st.lists(st.sampled_from(["SELECT * FROM ({})", "(SELECT [({})])", "SELECT 1 WHERE EXISTS ({})"]), max_size=4),
    st.sampled_from([f"{name}('x')" for name in sorted(REFUSED_SCALARS)]),
)
def test_no_nesting_hides_a_function(
    reader: duckdb.DuckDBPyConnection, outer: str, nested: list[str], call: str
) -> None:
    query = f"SELECT {call}"
    for form in nested:
        query = form.format(query)
    with pytest.raises((QueryError, duckdb.ParserException)):
        check_query(reader, outer.format(query))

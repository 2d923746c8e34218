"""Results as CSV and JSON: exactly what DuckDB itself writes, so that another engine reads the same values."""

import csv
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.text import FORMULA, MARKED_FORMULA
from tests.parameters import long_except
from tests.promises.fault_runner import run_cli, run_cli_with_streams

EVERYTHING = """
    SELECT NULL AS absent, '' AS empty, 'NULL' AS word, 'a,"b"' AS quoted, e'two\\nlines' AS lines, ' x ' AS spaces, 'ä\u202e' AS odd,
        [1, NULL, 3] AS list, ['a', '', NULL, 'x,y'] AS texts, {'x': 1, 'y': {'z': NULL}} AS struct, MAP {'k': [1.50]} AS map,
        12345678901234567890.123456789::DECIMAL(38, 9) AS exact, 1.50::DECIMAL(4, 2) AS cents, true AS flag,
        170141183460469231731687303715884105727::HUGEINT AS huge, 9007199254740993 AS large, -5 AS negative,
        0.1::DOUBLE AS tenth, 1e300 AS big, -0.0::DOUBLE AS zero, 147292.44299999997 AS many, 0.1::FLOAT AS single,
        DATE '2026-11-27' AS day, TIMESTAMP '2026-11-27 10:00:00.123456' AS moment, TIMESTAMP '2026-11-27' AS midnight,
        TIMESTAMPTZ '2026-11-27 10:00:00+02' AS zoned, TIME '10:00' AS clock, INTERVAL 3 DAY AS span,
        '\\xaa'::BLOB AS bytes, '101'::BIT AS bits, UUID '00000000-0000-0000-0000-000000000001' AS id,
        'a'::ENUM ('a', 'b') AS choice, '{"j": [1]}'::JSON AS document, union_value(n := 1) AS either
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    duckdb.connect(home / "warehouse.duckdb").close()
    return home


@pytest.fixture
def sql(home: Path) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        status, out, err = run_cli({"LIVEHOUSE_HOME": str(home)}, "sql", *arguments)
        assert status == 0, err
        return out

    return run


def copied(query: str, path: Path, style: str) -> str:
    """Return the text that DuckDB's COPY writes."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"COPY ({query}) TO '{path}' ({style})")
    return path.read_text(encoding="utf-8")


def test_csv_is_what_duckdb_copies(sql: Callable[..., str], tmp_path: Path) -> None:
    assert sql("--format", "csv", EVERYTHING) == copied(EVERYTHING, tmp_path / "x.csv", "FORMAT csv")


def test_csv_distinguishes_null_from_an_empty_text(sql: Callable[..., str]) -> None:
    assert sql("--format", "csv", "SELECT NULL AS a, '' AS b UNION ALL SELECT '', NULL") == 'a,b\n,""\n"",\n'


def test_json_is_what_duckdb_copies(sql: Callable[..., str], tmp_path: Path) -> None:
    ours, theirs = (
        sql("--format", "json", EVERYTHING),
        copied(EVERYTHING, tmp_path / "x.json", "FORMAT json, ARRAY true"),
    )
    read = partial(json.loads, parse_float=Decimal, parse_int=Decimal)
    assert read(ours) == read(theirs)
    assert "\u202e" not in ours, "written out: a terminal obeys it"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a, 2 AS a;",
        "FROM range(3) -- rows",
        "PIVOT (SELECT 'k' AS k, 1 AS v) ON k USING sum(v)",
        "PIVOT (SELECT 'k' AS k, 1 AS v) ON k IN ('k', 'l') USING sum(v)",
        "DESCRIBE SELECT 1 AS a",
        "SUMMARIZE SELECT 1 AS a",
        "SHOW TABLES",
        "VALUES (1, 'a;b')",
        "EXPLAIN SELECT 1",
        "WITH x AS (SELECT 1 AS n) FROM x ORDER BY n",
        "SELECT 1 WHERE false",
    ],
)
@pytest.mark.parametrize("style", long_except(["table", "lines", "csv", "json"], "table", "json"))
def test_every_kind_of_query_can_be_shown(query: str, style: str, sql: Callable[..., str]) -> None:
    shown = sql("--format", style, query)
    if style == "json":
        rows = json.loads(shown)
        assert len(rows) == len(list(csv.reader(io.StringIO(sql("--format", "csv", query))))) - 1


def test_the_order_of_many_rows_stays(sql: Callable[..., str]) -> None:
    shown = sql("--format", "csv", "SELECT i FROM range(50_000) AS t(i) ORDER BY i DESC").split()
    assert shown == ["i", *map(str, reversed(range(50_000)))]


def test_people_see_lists_as_duckdb_writes_them(sql: Callable[..., str]) -> None:
    for style in ("table", "lines"):
        shown = sql(
            "--format", style, "SELECT [1, NULL] AS l, {'x': 'y'} AS s, INTERVAL 3 DAY AS i, '\\xaa'::BLOB AS b"
        )
        for text in ("[1, NULL]", "{'x': y}", "3 days", "\\xAA"):
            assert text in shown


@pytest.mark.long
@pytest.mark.parametrize(
    "query",
    [
        EVERYTHING.replace("170141183460469231731687303715884105727", "17014118346046923173168730371588410572"),
        "EXPLAIN SELECT 1",
        "PIVOT (SELECT 'k' AS k, 1 AS v) ON k USING sum(v)",
        "SELECT 1 AS a, 2 AS a WHERE false",
    ],
)
def test_parquet_has_the_values_of_csv(query: str, home: Path, sql: Callable[..., str], tmp_path: Path) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    arguments = ("sql", "--format", "parquet", query)
    assert run_cli_with_streams({"LIVEHOUSE_HOME": str(home)}, arguments, out, io.StringIO()) == 0
    (tmp_path / "x.parquet").write_bytes(out.buffer.getvalue())
    back = copied(f"FROM '{tmp_path}/x.parquet'", tmp_path / "x.csv", "FORMAT csv")
    expected = sql("--format", "csv", query)
    assert back.split("\n", 1)[1] == expected.split("\n", 1)[1]


def test_an_integer_that_parquet_cannot_hold_is_refused(home: Path) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.StringIO()
    arguments = ("sql", "--format", "parquet", "SELECT 170141183460469231731687303715884105727::HUGEINT")
    assert run_cli_with_streams({"LIVEHOUSE_HOME": str(home)}, arguments, out, err) == 1
    assert "Conversion Error" in err.getvalue()


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NESTED: st.SearchStrategy[Any] = st.recursive(
    st.none() | TEXTS | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@pytest.mark.long
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.none() | TEXTS, min_size=1, max_size=4))
def test_any_text_is_read_back_by_duckdb(home: Path, tmp_path: Path, texts: list[str | None]) -> None:
    literals = ", ".join(
        f"('{text.replace(chr(39), 2 * chr(39))}')" if text is not None else "(NULL)" for text in texts
    )
    query = f"SELECT t, [t, t] AS twice FROM (VALUES {literals}) AS rows(t)"
    path = tmp_path / "back.csv"
    status, out, err = run_cli({"LIVEHOUSE_HOME": str(home)}, "sql", "--format", "csv", query)
    assert status == 0, err
    path.write_bytes(out.encode())
    with duckdb.connect() as connection:
        read = f"FROM read_csv('{path}', all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"', nullstr = '', allow_quoted_nulls = false, strict_mode = false, auto_detect = false, columns = {{'t': 'VARCHAR', 'twice': 'VARCHAR'}})"
        found = connection.execute(f"SELECT t {read}").fetchall()
    if not any(text and ("\r" in text or "\n" in text) for text in texts):  # DuckDB's reader makes one of \r\n
        assert [text for (text,) in found] == texts
    status, out, err = run_cli({"LIVEHOUSE_HOME": str(home)}, "sql", "--format", "json", query)
    assert [row["t"] for row in json.loads(out)] == texts


# --- spreadsheets -----------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "＝1", "=cmd|'/C calc'!A0"])
def test_a_text_is_no_formula_in_a_spreadsheet(text: str, sql: Callable[..., str]) -> None:
    query = f"SELECT chr({ord(text[0])}) || $${text[1:]}$$ AS \"{text.strip()}\", -5 AS n, -1.5 AS f, DATE '2026-01-01' AS d, NULL AS z"
    exact = next(csv.reader(io.StringIO(sql("--format", "csv", query).split("\n", 1)[1], newline="")))
    assert exact == [text, "-5", "-1.5", "2026-01-01", ""]
    safe = list(csv.reader(io.StringIO(sql("--format", "csv", "--spreadsheet", query), newline="")))
    assert safe[1] == [f"'{text}", "-5", "-1.5", "2026-01-01", ""]
    assert not safe[0][0].startswith(("=", "+", "-", "@", "＝"))


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("a;=1+1", "a;'=1+1"),  # Excel begins a cell at a semicolon where numbers have a decimal comma
        ("a\n=1;+2", "a\n'=1;'+2"),
        ("a\t\t@x", "a\t'\t@x"),
        (" =1", "' =1"),
        ("\u00a0-1", "'\u00a0-1"),
        ("=;=", "'=;'="),
        ("a-b, c=d; e", "a-b, c=d; e"),
    ],
)
def test_a_formula_is_marked_wherever_a_cell_may_begin(text: str, marked: str) -> None:
    assert re.sub(FORMULA, MARKED_FORMULA, text) == marked
    in_sql = "SELECT regexp_replace(?, ?, ?, 'g')"
    assert duckdb.execute(in_sql, [text, FORMULA, MARKED_FORMULA]).fetchall() == [(marked,)]


def test_the_safe_form_goes_with_csv(home: Path) -> None:
    status, _, err = run_cli({"LIVEHOUSE_HOME": str(home)}, "sql", "--spreadsheet", "SELECT 1")
    assert status == 2
    assert "--format csv" in err

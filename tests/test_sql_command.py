"""`livehouse sql`: errors that help, piped queries, parameters, and lists that other programs can read."""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.marts.examples import Example, find_examples
from tests.promises.fault_runner import run_cli
from tests.report.test_page_cases import LAST, make_warehouse


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_warehouse(tmp_path_factory.mktemp("sql"), days=10, sessions=2, streams=4).parent


def sql(home: Path, *arguments: str) -> tuple[int, str, str]:
    return run_cli({"LIVEHOUSE_HOME": str(home)}, "sql", *arguments)


@pytest.mark.parametrize(
    ("query", "message", "excerpt"),
    [
        ("selec 1", 'Parser Error: syntax error at or near "selec"', "LINE 1: selec 1\n        ^\n"),
        ("from marts.dayly_usage", "there is no table 'dayly_usage': did you mean 'marts.daily_usage'?", "LINE 1: "),
        ("from livestream_session", "did you mean 'core.livestream_sessions'?", "LINE 1: from livestream_session"),
        ("from xyz", "there is no table 'xyz': `livehouse sql --tables` lists them", "LINE 1: from xyz"),
        (
            "select 1,\n  dai from marts.daily_usage",
            "there is no column 'dai': did you mean 'day'?",
            "LINE 2:   dai from marts.daily_usage\n          ^\n",
        ),
        (
            "select 'x'::int",
            "Conversion Error: Could not convert string 'x' to INT32",
            "LINE 1: select 'x'::int\n                  ^\n",
        ),
        ("select 1; select 2", "2 statements: give one query that reads", ""),
        ("select $day", "the query needs --param day=VALUE", ""),
    ],
)
def test_an_error_has_one_line_and_duckdbs_pointer_to_the_place(
    query: str, message: str, excerpt: str, home: Path
) -> None:
    status, out, err = sql(home, query)
    assert (status, out) == (1, "")
    line, _, rest = err.partition("\n")
    assert line.startswith("livehouse: ")
    assert message in line
    assert rest.startswith(excerpt)
    assert bool(rest) is bool(excerpt)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nighly"], "there is no command 'nighly': did you mean 'nightly'?"),
        (["on_air"], "there is no command 'on_air': did you mean 'on-air'?"),
        (["frobnicate"], "there is no command 'frobnicate'; see `livehouse --help`"),
        (["sql", "--example", "montly_statement"], "there is no example 'montly_statement': did you mean 'monthly_statement'?"),
        (["sql", "--example", "1", "--param", "mont=2026-10"], "01_monthly_statement has no parameter 'mont': did you mean 'month'?"),
        (["sql", "--example", "1", "--param", "2026-10"], "--param 2026-10: must be NAME=VALUE"),
        (["sql", "--tables", "--param", "a=1"], "--param goes with a query or --example NAME"),
        (["sql", "select 1", "--sql"], "--sql goes with --example NAME"),
    ],
)  # fmt: skip
def test_a_misspelt_name_is_answered_with_the_right_one(arguments: list[str], message: str, home: Path) -> None:
    status, _, err = run_cli({"LIVEHOUSE_HOME": str(home)}, *arguments)
    assert status == 2
    assert err.startswith(f"livehouse: {message}")
    assert err.count("\n") == 1


def test_columns_of_a_misspelt_table_suggest_the_right_one(home: Path) -> None:
    assert sql(home, "--columns", "core.livestream") == (
        1,
        "",
        "livehouse: there is no table 'core.livestream': did you mean 'core.livestreams'?\n",
    )


def test_a_piped_query_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("select 42\nas answer;\n"))
    assert sql(home, "--format", "csv") == (0, "answer\n42\n", "")
    monkeypatch.setattr("sys.stdin", io.StringIO(" \n"))
    status, _, err = sql(home)
    assert status == 2
    assert "give one query" in err
    monkeypatch.setattr("sys.stdin", io.StringIO("select 1; select 2"))
    assert "2 statements" in sql(home)[2]
    monkeypatch.setattr("sys.stdin", io.StringIO("select 'of the pipe'"))
    assert sql(home, "select 7 as given", "--format", "csv")[1] == "given\n7\n"


def test_lists_of_tables_and_columns_are_clean_in_a_pipe(home: Path) -> None:
    for arguments in (["--tables"], ["--columns", "marts.reconciliation"]):
        status, out, err = sql(home, *arguments)
        assert (status, err) == (0, "")
        lines = out.splitlines()
        assert all(line == line.rstrip() for line in lines), "padding"
        assert "\\n" not in out.partition("marts.reconciliation")[0], "escaped line breaks"
        assert max(map(len, lines)) < 200
    assert "marts.reconciliation             The API's own daily totals (overall)" in sql(home, "--tables")[1]


def test_parameters_of_a_query_and_of_an_example(home: Path) -> None:
    query = "select count(*) as days from marts.daily_usage where day > $day and app_id = $app"
    given = ["--param", f"day={LAST - timedelta(days=3)}", "--param", "app=main-app", "--format", "csv"]
    assert int(sql(home, query, *given)[1].split()[1]) == 3
    top = ["--example", "top_livestreams", "--format", "csv"]
    assert sql(home, *top, "--param", "rows=1")[1].count("\n") < sql(home, *top)[1].count("\n")
    assert sql(home, *top, "--param", "month=1999-01")[1].count("\n") == 1
    status, _, err = sql(home, *top, "--param", "month=2026-13")
    assert status == 1
    assert '"2026-13-01"' in err, "a malformed month is an error, not an empty answer"


@pytest.mark.long
@pytest.mark.parametrize("found", find_examples(), ids=lambda example: example.name)
def test_an_example_is_listed_with_its_parameters_and_can_be_printed(found: Example, home: Path) -> None:
    listed = " ".join(sql(home, "--examples")[1].split())
    assert found.parameters
    for parameter in found.parameters:
        assert f"--param {parameter.name}={parameter.form}: {parameter.description}" in listed
        assert f"${parameter.name}" in found.sql
    status, printed, err = sql(home, "--example", found.name, "--sql")
    assert (status, err) == (0, "")
    assert "$" not in printed, "it runs in any program as it is"
    assert sql(home, "--format", "json", "--", printed) == sql(home, "--example", found.name, "--format", "json")


@pytest.mark.parametrize("name", ["8", "08", "error_messages", "08_error_messages"])
def test_an_example_is_found_by_its_number_and_by_its_name(name: str, home: Path) -> None:
    assert "err_message" in sql(home, "--example", name, "--sql")[1]


def test_columns_of_the_same_name_are_all_printed(home: Path) -> None:
    twice = "select 1 as a, 2 as a, true as b"
    assert json.loads(sql(home, twice, "--format", "json")[1]) == [{"a": 1, "a_1": 2, "b": True}]
    assert sql(home, twice, "--format", "csv")[1] == "a,a,b\n1,2,true\n"

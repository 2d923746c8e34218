"""`livehouse sql` on a terminal: wide tables are cut with a notice, and long ones go through the pager."""

import sys
from datetime import datetime
from pathlib import Path

import duckdb
import pytest
from rich.cells import cell_len

from pipelines.cli.table import ROWS_SHOWN, show_lines, show_table
from tests.terminals import run_on_terminal

LIVEHOUSE = Path(sys.executable).with_name("livehouse")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "60", "LINES": "2000"}.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_a_number_is_never_cut_and_a_column_left_out_is_named(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["app", "average_concurrent_viewers", "message", "sessions", "left_out"]
    row = ("aula", 147292.44299999997, "x" * 90, 123456789, "2026-01-01 00:00:00.000001")
    show_table(names, iter([row]))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= 60
    assert [line.split() for line in lines[:3]] == [
        ["average_"],
        ["concurrent_"],
        ["app", "viewers", "message", "sessions"],
    ]
    assert lines[3].split() == ["aula", "147292.443", "x" * 29 + "…", "123456789"]
    assert "text that ends in … is cut" in lines[4]
    assert " ".join(lines[5:]).startswith("-- columns that do not fit: left_out; --format lines")


def test_a_table_that_fits_is_not_cut(terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["a_long_name", "b"], iter([(None, "é中\x1b[31m"), (True, "")]))
    shown = capsys.readouterr().out
    assert [line.rstrip() for line in shown.splitlines()] == ["a_long_name  b", "NULL         é中\\x1b[31m", "true"]


def test_a_long_result_has_a_notice_that_it_is_cut(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show_table(["n"], ((n,) for n in range(ROWS_SHOWN + 1)))
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"{ROWS_SHOWN - 1}", f"-- the first {ROWS_SHOWN:,} rows; --format csv gives all"]


def test_a_terminal_narrower_than_one_column_still_shows_it(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("COLUMNS", "10")
    show_table(["name", "b"], iter([("abcdefghijklmnop", 1)]))
    assert "abcdefghi…" in capsys.readouterr().out


def test_timestamps_have_no_needless_digits(capsys: pytest.CaptureFixture[str]) -> None:
    moments = [(datetime(2026, 1, 2, 3, 4, 5, 826000),), (datetime(2026, 1, 2, 3, 4, 5),)]
    show_table(["at"], iter(moments))
    assert capsys.readouterr().out.split("\n")[1:3] == ["2026-01-02 03:04:05.826", "2026-01-02 03:04:05"]


def test_an_empty_result_shows_a_notice(terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["a", "b"], iter([]))
    assert capsys.readouterr().out.splitlines()[-1] == "-- no rows"


def test_lines_show_every_column_uncut(terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    show_lines(["a", "long_name"], iter([(1, "x" * 90), (None, "\x1b[31m")]))
    assert capsys.readouterr().out.splitlines() == [
        "a          1",
        f"long_name  {'x' * 90}",
        "",
        "a          NULL",
        "long_name  \\x1b[31m",
    ]


def test_output_to_a_pipe_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["text", "more"], iter([("x" * 500, "y" * 500)]))
    assert f"{'x' * 500}  {'y' * 500}" in capsys.readouterr().out


@pytest.mark.long
@pytest.mark.parametrize(("rows", "is_paged"), [(5, False), (50, True)])
def test_only_output_longer_than_the_screen_is_paged(tmp_path: Path, rows: int, *, is_paged: bool) -> None:
    home = tmp_path / "home"
    home.mkdir()
    duckdb.connect(home / "warehouse.duckdb").close()
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat > {tmp_path}/paged\n")
    pager.chmod(0o755)
    command = [str(LIVEHOUSE), "sql", f"select range as n from range({rows})"]
    status, _, seen = run_on_terminal(command, PAGER=str(pager), LIVEHOUSE_HOME=str(home))
    assert status == 0
    assert (tmp_path / "paged").exists() == is_paged
    assert f"{rows - 1}" in ((tmp_path / "paged").read_text() if is_paged else seen).split()

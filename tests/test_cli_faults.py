"""Terminals, pipes and invalid arguments: the command line prints at most one line, and never a traceback."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pipelines.text import printable
from tests.promises.fault_runner import run_cli
from tests.terminals import run_cli_on_terminal

LIVEHOUSE = str(Path(sys.executable).with_name("livehouse"))
EVIL = "\x1b[31mred\x9b2J\u202egpj.exe\u200f\u2028"
SPELT = r"\x1b[31mred\x9b2J\u202egpj.exe\u200f\u2028"
CONTROLS = set("\x1b\x9b\u202e\u200f\u2028")
ACCOUNT = {"CLOUDFLARE_API_TOKEN": "a-token-of-nobody", "CLOUDFLARE_ACCOUNT_ID": "x", "REALTIMEKIT_APP_ID": "y"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose published copy has one name that a terminal must not obey."""
    home = tmp_path / "home"
    home.mkdir()
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute("CREATE TABLE names AS SELECT ? AS name", [EVIL])
    return home


def run(command: str, **environment: str) -> tuple[int, str, str]:
    """A line of shell, `livehouse` at its place: exit status, stdout, stderr."""
    done = subprocess.run(
        ["bash", "-c", command.replace("livehouse", LIVEHOUSE)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def assert_one_line(done: tuple[int, str, str], status: int, expected: str) -> None:
    ended, _, err = done
    assert ended == status, err
    assert len(err.splitlines()) == 1, err
    assert expected in err


def test_printable_leaves_nothing_to_obey() -> None:
    assert printable(EVIL + "\n\t") == SPELT + r"\n "


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sql", ""], "query is empty"),
        (["sql", ";"], "query is empty"),
        (["sql", "-f", "nowhere.sql"], "nowhere.sql: No such file"),
        (["sql", "-f", "."], "Is a directory"),
        (["sql", "-f", "x.sql"], "is not UTF-8 text"),
        (["api", "get-session", ""], "SESSION_ID"),
        (["api", "get-livestream", 300 * "a"], "LIVESTREAM_ID"),
        (["api", "list-livestreams", "--app", "x\x1b"], "--app"),
        (["api", "create-livestream", "--name", "\udcff"], "--name"),
        (["api", "create-livestream", "--name", "two words"], "letters a to z, digits, - and _ only"),
        (["api", "create-livestream", "--name", "line\n"], "letters a to z, digits, - and _ only"),
        (["api", "start-livestream", "m", "--name", "Straße"], "letters a to z, digits, - and _ only"),
        (["backfill", "2026-02-30", "2026-03-01"], "START"),
        (["backfill", "2026-02-01"], "END"),
        (["nightly", "--date", "0001-01-01"], "LIVEHOUSE_START_DATE"),
    ],
)
def test_invalid_arguments_are_one_line(arguments: list[str], expected: str, home: Path) -> None:
    Path("x.sql").write_bytes(b"\xff")
    assert_one_line(run_cli({"LIVEHOUSE_HOME": str(home), **ACCOUNT}, *arguments), 2, expected)


def test_a_query_is_read_from_a_file(home: Path) -> None:
    Path("x.sql").write_text("\ufeff-- names\nSELECT count(*) AS n\nFROM names;\n", encoding="utf-8")
    assert run_cli({"LIVEHOUSE_HOME": str(home)}, "sql", "-f", "x.sql", "--format", "csv") == (0, "n\n1\n", "")


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "expected"),
    [("livehouse sql -f - <&-", "query is empty"), ("livehouse api get-session $'\\xff'", "SESSION_ID")],
)
def test_what_only_a_shell_can_give_is_one_line(command: str, expected: str, home: Path) -> None:
    assert_one_line(run(command, LIVEHOUSE_HOME=str(home), **ACCOUNT), 2, expected)


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("history/runs.db", b"no database" * 1000, "file is not a database; .*move it away"),
        pytest.param("dagster.yaml", b"x: [", "is not valid YAML; .*move it away", marks=pytest.mark.long),
        pytest.param("setup.lock/x", b"", "Is a directory", marks=pytest.mark.long),
    ],
)
def test_a_history_that_cannot_be_used_is_one_line(file: str, content: bytes, expected: str, home: Path) -> None:
    path = home / "dagster" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    for command in (["nightly"], ["ui", "--port", "39871"]):
        done = run_cli({"LIVEHOUSE_HOME": str(home), **ACCOUNT}, *command)
        assert_one_line(done, 1, "")
        assert re.search(expected, done[2])


def test_an_output_that_is_full_is_one_line() -> None:
    assert_one_line(run("livehouse doctor > /dev/full"), 1, "no space left")


@pytest.mark.long
def test_an_ascii_terminal_gets_escapes(home: Path) -> None:
    old = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "LIVEHOUSE_HOME": str(home)}
    assert run("livehouse doctor", **old)[0] == 2
    assert "\\xe9" in run('livehouse sql "select chr(233) as e"', **old)[1]


@pytest.mark.parametrize("style", ["table", "csv", "json"])
def test_names_do_not_command_the_terminal(style: str, home: Path) -> None:
    pivot = "pivot (select name, 1 as n from names) on name using sum(n)"
    for query in ("from names", pivot, "select error((select name from names))"):
        environment = {"LIVEHOUSE_HOME": str(home), "NO_COLOR": "1"}
        _, seen = run_cli_on_terminal(environment, "sql", "--format", style, query)
        assert not CONTROLS & set(seen.replace("\x1b[1m", "").replace("\x1b[0m", "")), seen
        assert "gpj.exe" in seen


def test_json_writes_non_finite_numbers_as_text(home: Path) -> None:
    query = "select 'nan'::double as x, ['-inf'::double] as y, 1.5 as z"
    _, out, _ = run_cli({"LIVEHOUSE_HOME": str(home)}, "sql", "--format", "json", query)
    assert json.loads(out) == [{"x": "nan", "y": ["-inf"], "z": 1.5}]


@pytest.mark.long
def test_a_crash_leaves_no_core_dump_and_a_query_has_no_token() -> None:
    """Seen: `CALL enable_logging(storage = 'file')` aborted the process, whose core dump held the token."""
    program = (
        "import resource, pipelines.settings.settings as settings; from pipelines.cli import main; validate = settings.validate_settings\n"
        "def load_and_show(*given):\n"
        "    loaded = validate(*given)\n"
        "    print(loaded.account_id, loaded.api_token, resource.getrlimit(resource.RLIMIT_CORE))\n"
        "    return loaded\n"
        "settings.validate_settings = load_and_show; main([COMMAND])"
    )
    for command in ("'sql', 'SELECT 1'", "'report'"):
        done = subprocess.run(
            [sys.executable, "-c", program.replace("COMMAND", command)],
            env=os.environ | ACCOUNT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "x None (0, 0)\n", done.stderr

"""Every snippet of the documentation runs, or is at least well-formed: SQL and Python on a loaded warehouse, commands by their parser."""

import configparser
import csv
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import duckdb
import pytest
import yaml

from pipelines.cli import cli
from tests.pipeline_runner import LoadedWarehouse
from tests.promises.fault_runner import run_cli

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs/decisions"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/README.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if DECISIONS not in path.parents),
]


class Snippet(NamedTuple):
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def find_snippets() -> list[Snippet]:
    found = []
    for path in PAGES:
        text = path.read_text()
        for block in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```", text, re.MULTILINE | re.DOTALL):
            content = re.sub(rf"^{block[1]}", "", block[3], flags=re.MULTILINE)
            found.append(
                Snippet(str(path.relative_to(ROOT)), text.count("\n", 0, block.start()) + 1, block[2], content)
            )
    return found


SNIPPETS = find_snippets()


def written_in(*languages: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("snippet", [each for each in SNIPPETS if each.language in languages], ids=str)


def parse_ini(text: str) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(text)  # several files in one block


PARSERS: dict[str, Callable[[str], Any]] = {
    "csv": lambda text: list(csv.DictReader(text.splitlines(), strict=True)),
    "ini": parse_ini,
    "json": json.loads,
    "toml": tomllib.loads,
    "yaml": lambda text: list(yaml.safe_load_all(text)),
}
CHECKED = {"", "text", "sh", "bash", "sql", "python", *PARSERS}


def test_every_language_is_checked() -> None:
    assert {each.language for each in SNIPPETS} <= CHECKED
    assert len(SNIPPETS) > 15


@written_in(*PARSERS)
def test_configuration_is_well_formed(snippet: Snippet) -> None:
    PARSERS[snippet.language](snippet.text)


@written_in("sh", "bash")
def test_shell_is_well_formed(snippet: Snippet) -> None:
    done = subprocess.run(["bash", "-n"], input=snippet.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def commands_in(snippet: Snippet) -> list[list[str]]:
    """The commands `livehouse …` of a shell snippet, by their arguments."""
    lines = re.findall(r"(?:^|(?<!install)[ /])livehouse ([a-z][^\n|&>]*?)\s*(?:#.*)?$", snippet.text, re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.mark.long
@written_in("sh", "bash")
@pytest.mark.file_only
def test_commands_are_accepted_and_queries_run(snippet: Snippet, loaded: LoadedWarehouse) -> None:
    for arguments in commands_in(snippet):
        command = cli.get_command(click.Context(cli), arguments[0])
        assert command is not None
        command.make_context(arguments[0], arguments[1:], parent=click.Context(cli, info_name="livehouse"))
        if arguments[0] == "sql":
            status, _, err = run_cli({"LIVEHOUSE_HOME": str(loaded.settings.home)}, *arguments)
            assert status == 0, err


@written_in("sql")
@pytest.mark.file_only
def test_queries_run(snippet: Snippet, loaded: LoadedWarehouse, tmp_path: Path) -> None:
    environment = {"LIVEHOUSE_HOME": str(loaded.settings.home)}
    if "DIR/" not in snippet.text:
        query = re.sub(r"\{\{ source\('(\w+)', '(\w+)'\) \}\}", r"\1.\2", snippet.text)  # a model of dbt
        status, _, err = run_cli(environment, "sql", query)
        assert status == 0, err
        return
    status, _, err = run_cli(environment, "export", str(tmp_path / "DIR"), "--tables", "core.livestream_sessions")
    assert status == 0, err
    assert duckdb.sql(snippet.text.replace("DIR/", f"{tmp_path}/DIR/")).fetchall()


RUN_ELSEWHERE = {
    "CONTRIBUTING.md": "tests/test_add_endpoint.py",
    "docs/how-to/notebooks.md": "tests/test_tool_pages.py",
    "docs/how-to/superset.md": "tests/test_tool_pages.py",
}
"""Pages whose programs need more than themselves, and the test that runs them."""


@pytest.mark.long  # renders a chart
@written_in("python")
@pytest.mark.file_only
def test_programs_run(
    snippet: Snippet, loaded: LoadedWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if snippet.page in RUN_ELSEWHERE:
        pytest.skip(f"{RUN_ELSEWHERE[snippet.page]} runs it")
    monkeypatch.chdir(tmp_path)
    exec(re.sub(r"data/(?:demo/)?warehouse\.duckdb", str(loaded.settings.warehouse), snippet.text), {})
    if saved := re.search(r'save\("(.+?)"\)', snippet.text):
        assert (tmp_path / saved[1]).stat().st_size > 1000


def test_twenty_questions_have_a_page() -> None:
    """`tests/test_docs.py` checks that each link leads to a page and a heading."""
    rows = re.findall(
        r"^\| (newcomer|operator|analyst|contributor) \| .+\? \| .*\]\(.+\) \|$",
        (ROOT / "docs/README.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 20
    assert set(rows) == {"newcomer", "operator", "analyst", "contributor"}

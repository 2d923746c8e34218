"""The generated reference describes every setting, command, table, check, operation and error, and every page is in the navigation."""

import re
from functools import cache
from pathlib import Path

import click
import pytest

from docs.generator.api import record_request
from docs.generator.commands import undocumented
from docs.generator.errors import REMEDIES, error_classes, messages
from docs.generator.settings import read_meanings
from docs.generator.staging import PARTS, REFERENCE, list_children
from pipelines.catalog.files import RAW_FILE, WAREHOUSE_FILE
from pipelines.cli import COMMANDS
from pipelines.cli.api import api_command
from pipelines.marts.build import find_marts
from pipelines.marts.checks import find_checks
from pipelines.marts.examples import find_examples
from pipelines.settings.settings import Settings
from pipelines.telemetry.otlp import METRICS as RUN_METRICS

ROOT = Path(__file__).parents[1]
TABLES = [*WAREHOUSE_FILE, *RAW_FILE]
OPERATIONS = api_command.list_commands(click.Context(api_command))
DOCUMENTED = {
    "settings": [str(field.validation_alias) for field in Settings.model_fields.values()],
    "commands": [f"livehouse {name}" for name in COMMANDS],
    "tables": [table.full_name for table in TABLES] + [column.name for table in TABLES for column in table.columns],
    "marts": [name for mart in find_marts() for name in (mart.full_name, *mart.columns)],
    "checks": [name for check in find_checks() for name in (check.rule, check.table)],
    "examples": [example.name.partition("_")[2] for example in find_examples()],
    "operations": OPERATIONS,
    "errors": list(error_classes()),
    "metrics": [],
    "telemetry": [metric.name for metric in RUN_METRICS],
}


@cache
def page(name: str) -> str:
    return REFERENCE[name]()


@pytest.mark.parametrize("name", REFERENCE)
def test_every_name_is_on_its_page(name: str) -> None:
    shown = set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", page(name)))
    assert set(DOCUMENTED[name]) <= shown


def test_every_command_and_option_has_a_help_text() -> None:
    assert undocumented() == [], "give each a help text: the reference is generated from them"


def test_every_setting_has_a_comment_in_the_example() -> None:
    variables = {str(field.validation_alias) for field in Settings.model_fields.values()}
    assert sorted(name for name in variables if not read_meanings().get(name)) == [], (
        ".env.example explains each setting"
    )


def test_every_table_column_and_mart_has_a_description() -> None:
    bare = [
        f"{table.full_name}.{column.name}" for table in TABLES for column in table.columns if not column.description
    ]
    bare += [table.full_name for table in TABLES if not table.description]
    bare += [mart.full_name for mart in find_marts() if not mart.description]
    bare += [f"{check.table} {check.rule}" for check in find_checks() if not check.description]
    assert bare == []


def test_every_error_has_a_cause_and_a_remedy() -> None:
    assert set(error_classes()) == set(REMEDIES), "add the remedy to docs/generator/errors.py"
    assert len(set(messages())) > 100


def test_every_operation_is_shown_with_its_request() -> None:
    for operation in OPERATIONS:
        method, path, _ = record_request(operation)
        assert f"{method} {path}" in page("operations")
        assert path.startswith("/accounts/ACCOUNT_ID/realtime/kit/APP_ID/")


def test_every_page_is_in_the_navigation() -> None:
    """An overview lists the pages of its directory; Sphinx, which `make docs` runs, refuses pages that none lists."""
    for overview in (name for part in PARTS.values() for name in part if name.startswith("docs/")):
        path = ROOT / f"{overview}.md"
        beside = {page.stem for page in path.parent.glob("*.md")} - {"README"}
        generated = set(REFERENCE) if path.parent.name == "reference" else set()
        assert set(list_children(path.read_text())) == beside | generated, f"{overview}.md lists the pages beside it"

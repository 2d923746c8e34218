"""Everything the documents name exists (commands, options, settings, tables, tests, files), and their examples run."""

import re
import subprocess
from pathlib import Path

import click
import duckdb
import pytest

from docs.generator.staging import generated_pages
from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.cli import COMMANDS, cli
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.faults import KINDS
from tests.pipeline_runner import LoadedWarehouse
from tests.promises.fault_runner import run_cli
from tests.test_imports import layer_of

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in PAGES}
README = TEXTS["README.md"]
MANUAL = "\n".join(text for name, text in TEXTS.items() if name != "CHANGELOG.md")
EXAMPLES = "\n".join((ROOT / name).read_text() for name in (".env.example", "deploy/env.example"))


def variables_in(text: str) -> set[str]:
    return set(re.findall(r"^#?([A-Z_]+)=", text, re.MULTILINE))


def lines_of_commands() -> set[str]:
    """Every `livehouse …` that the manual shows, in a line of text or in a block of code."""
    blocks = re.findall(r"^```(\w*)\n(.+?)^```", MANUAL, re.MULTILINE | re.DOTALL)
    shell = "\n".join(block for language, block in blocks if language in {"", "sh", "bash", "ini"})
    lines = re.findall(r"(?:^|(?<!install)[ /])(livehouse [a-z][^#\n]*)", shell, re.MULTILINE)
    return {*lines, *re.findall(r"`(livehouse [a-z][^`]*)`", MANUAL)}


def test_every_command_shown_exists() -> None:
    assert {line.split()[1] for line in lines_of_commands()} <= set(COMMANDS)


def test_every_option_shown_exists() -> None:
    context = click.Context(cli)
    for line in lines_of_commands():
        command = cli.get_command(context, line.split()[1])
        assert command is not None
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        if isinstance(command, click.Group):  # `livehouse api`
            known |= {
                option
                for name in command.list_commands(context)
                for parameter in getattr(command.get_command(context, name), "params", [])
                for option in parameter.opts
            }
        assert set(re.findall(r"(?<![\w-])--[a-z-]+", line)) <= known | {"--help"}, line


def test_every_table_shown_exists() -> None:
    existing = {table.full_name for table in WAREHOUSE_FILE} | {mart.full_name for mart in find_marts()}
    assert set(re.findall(r"`((?:core|marts|ops)\.[a-z_]+)[`.]", MANUAL)) <= existing


def test_every_setting_is_in_the_example() -> None:
    example = (ROOT / ".env.example").read_text()
    assert variables_in(example) == {str(field.validation_alias) for field in Settings.model_fields.values()}


def test_every_setting_shown_exists() -> None:
    shown = set(re.findall(r"\b((?:LIVEHOUSE|CLOUDFLARE|REALTIMEKIT)_[A-Z_]+)", MANUAL))
    composed = set(re.findall(r"\$\{(\w+)", (ROOT / "deploy/compose.yaml").read_text()))
    assert shown <= variables_in(EXAMPLES) | composed | {"LIVEHOUSE_DEBUG"}


def test_every_fault_of_the_simulator_is_in_the_table() -> None:
    rows = [line for line in TEXTS["docs/reference/failures.md"].splitlines() if line.startswith("| ")]
    shown = {kind for row in rows for kind in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert set(KINDS) <= shown


LONG_ONLY = {
    "test_the_ui_shows_the_demo_to_a_newcomer_and_ends_with_its_process",  # a demo, Dagster's server and a browser
    "test_the_proxy_requires_a_login_and_forwards_same_origin_requests_only",  # a proxy beside it, which must be installed
    "test_lost_files_are_named_and_rebuilt",  # a lakehouse for each lost file
    "test_charts_are_built_without_packages_on_pythonpath",  # a build of the charts
    "test_names_and_messages_are_shown_as_text",  # a page in a browser; that they are data is tested by default
    # several nights each:
    "test_token_is_checked_before_the_body_is_read",
    "test_endless_pages_are_an_error",
    "test_failed_blocking_check_prevents_publication",
    "test_no_request_exceeds_the_rate_limit",
    "test_the_form_of_times_is_detected_once_and_stored",
    "test_a_smaller_total_that_the_sessions_do_not_explain_does_not_replace_the_older_one",
    "test_overall_reveals_changes_that_updated_at_does_not_show",
    "test_a_refused_page_size_is_lowered_once_and_stored",
    "test_a_session_without_figures_is_found_by_count_though_updated_at_did_not_move",
    "test_a_missing_operation_is_requested_again_after_a_week",
    "test_an_audit_finds_changes_that_updated_at_does_not_show",
    "test_a_list_of_livestreams_that_comes_back_empty_warns_and_erases_nothing",
    "test_a_list_of_sessions_that_was_incomplete_is_fetched_again_by_the_next_night",
    "test_a_session_corrected_outside_the_lookback_has_its_day_fetched_again",
    "test_the_last_landing_is_current_whatever_the_clock_of_a_run",
    "test_a_day_that_is_refused_is_unknown_and_everything_else_is_loaded",
    "test_sessions_that_never_end_are_fetched_for_so_many_days_only",
    "test_failing_app_does_not_stop_the_others",
    "test_days_without_raw_data_cannot_be_rebuilt",
    "test_no_day_for_30_hours_is_an_incident_also_when_nothing_runs",
    "test_a_backfill_resumed_the_next_day_fetches_what_changed_since",
}
"""Tests whose faults and attacks only the long suite proves, because they take too long for each change."""


@pytest.mark.parametrize("text", ["docs/reference/failures.md", "SECURITY.md"])
def test_every_fault_and_attack_has_a_test_by_default_or_a_slow_one(text: str, request: pytest.FixtureRequest) -> None:
    items = [item for item in request.session.items if item.get_closest_marker("long") is None]
    files = {item.path for item in items}
    if len(files) < len(list(ROOT.glob("tests/**/test_*.py"))) / 2:
        pytest.skip("only a part of the suite was collected")
    collected = {item.name.partition("[")[0] for item in items} | {str(file.relative_to(ROOT)) for file in files}
    rows = [line.rstrip(" |").rpartition("|")[2] for line in TEXTS[text].splitlines() if line.startswith("| ")]
    named = [set(re.findall(r"`([\w/.]+)`", cell)) for cell in rows[1:]]
    assert [tests for tests in named if not tests & (collected | LONG_ONLY)] == []


def test_every_make_target_shown_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", MANUAL, re.MULTILINE)) <= targets


@pytest.mark.long
@pytest.mark.file_only
def test_the_first_query_runs(loaded: LoadedWarehouse) -> None:
    settings = loaded.settings
    shown = re.search(r'^livehouse sql "(.+)"$', README, re.MULTILINE)
    assert shown
    status, out, message = run_cli({"LIVEHOUSE_HOME": str(settings.home)}, "sql", shown[1])
    assert status == 0, message
    with duckdb.connect(settings.warehouse, read_only=True) as connection:
        days = connection.execute("SELECT count(DISTINCT day) FROM core.livestream_sessions").fetchall()[0][0]
    assert len(out.splitlines()) == days + 1


@pytest.mark.file_only
def test_every_table_and_column_has_a_comment(loaded: LoadedWarehouse) -> None:
    with duckdb.connect(loaded.settings.warehouse, read_only=True) as connection:
        bare = connection.execute(
            "SELECT schema_name, table_name, column_name FROM duckdb_columns() WHERE comment IS NULL AND NOT internal"
        ).fetchall()
        tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE comment IS NULL").fetchall()
    assert (bare, tables) == ([], [])


def anchors_in(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_to_a_file_and_a_heading(name: str) -> None:
    page = ROOT / name
    for target, anchor in re.findall(r"\]\(([^):#]*)(?:#([^)]+))?\)", TEXTS[name]):
        linked = (page.parent / target).resolve() if target else page
        is_generated = str(linked.relative_to(ROOT)) in generated_pages()
        assert is_generated or linked.exists(), target
        if anchor and not is_generated:  # `make docs` checks those
            assert anchor in anchors_in(linked.read_text()), f"{target}#{anchor}"


def test_nothing_committed_names_an_index_or_a_path_of_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    pattern = re.compile(r"--(?:extra-)?index-url|--find-links|(?<![\w.])/(?:work|root)/[a-z]")
    found = [
        name
        for name in listed
        if name != "tests/test_docs.py" and (ROOT / name).suffix not in {".png", ".xz"} and (ROOT / name).is_file()
        if pattern.search((ROOT / name).read_text(errors="replace"))
    ]
    assert found == []


def test_every_file_named_for_contributors_exists() -> None:
    text = TEXTS["CONTRIBUTING.md"]
    named = re.findall(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|sql|md|sh|txt|toml)|(?:\w+/)+\w*|\.env\.example)`", text)
    placeholders = re.compile(r"[A-Z]{4,}(?:__RULE)?\.(?:py|sql)$")
    roots = (ROOT, ROOT / "pipelines")
    missing = [
        name for name in named if not name.startswith("build/") and not any((root / name).exists() for root in roots)
    ]
    assert len(named) > 40
    assert [name for name in missing if not placeholders.search(name)] == []


def test_the_map_lists_every_package() -> None:
    packages = {f"pipelines/{path.parent.name}" for path in (ROOT / "pipelines").glob("*/__init__.py")}
    listed = re.findall(r"^\| `(pipelines/\w+)` \|", TEXTS["CONTRIBUTING.md"], re.MULTILINE)
    assert set(listed) == packages
    layers = [layer_of(name.removeprefix("pipelines/")) for name in listed if name != "pipelines/simulator"]
    assert layers == sorted(layers), "a package imports only packages above it"


def test_every_decision_has_its_parts_and_a_line_in_the_index() -> None:
    index = TEXTS["docs/decisions/README.md"]
    decisions = {name: text for name, text in TEXTS.items() if name.startswith("docs/decisions/0")}
    for name, text in decisions.items():
        number, title = re.findall(r"\A# (\d+)\. (.+)", text)[0]
        date = re.findall(r"^Date: (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)[0]
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequence"], name
        file = Path(name).name
        assert f"| [{int(number):04}]({file}) | {title} | {date} |" in index, file
    assert index.count("](0") == len(decisions)
    assert len({Path(name).name[:4] for name in decisions}) == len(decisions), "two decisions have the same number"


def test_every_test_shown_exists() -> None:
    written = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert {name for name in re.findall(r"`(test_\w+)`", MANUAL) if f"def {name}(" not in written} == set()


def test_the_figures_of_the_comparison_are_those_of_the_benchmarks() -> None:
    table = README.partition("## Compared with")[2].partition("Measured on")[0]
    benchmarks = TEXTS["docs/explanation/benchmarks.md"]
    figures = set(re.findall(r"\b\d{1,3}(?:,\d{3})+\b|\b\d{3}\b|\b54\b", table))
    assert len(figures) > 5
    assert sorted(figures - set(re.findall(r"[\d,]*\d", benchmarks))) == [], (
        "README.md repeats figures of the benchmarks"
    )

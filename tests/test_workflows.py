"""The workflows and templates in `.github` are valid, and true: what they run exists, and they test every supported Python."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml"))
SCHEMAS = [
    ("github-workflows", WORKFLOWS),
    ("github-issue-forms", FORMS),
    ("dependabot", [ROOT / ".github/dependabot.yml"]),
]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


@pytest.mark.long
@pytest.mark.parametrize(("schema", "files"), SCHEMAS)
def test_they_are_valid_by_their_schema(schema: str, files: list[Path]) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_make_target_they_run_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = [step.get("run", "") for path in WORKFLOWS for job in read(path)["jobs"].values() for step in job["steps"]]
    named = {
        target
        for run in runs
        for targets_run in re.findall(r"^make (.+)$", run, re.MULTILINE)
        for target in targets_run.split()
    }
    assert {"lint", "types", "test", "docs", "release", "test-newest", "test-long"} <= named <= targets


def test_every_supported_python_is_tested() -> None:
    tested = set(read(ROOT / ".github/workflows/test.yml")["jobs"]["test"]["strategy"]["matrix"]["python"])
    supported = re.search(
        r"Python ((?:3\.\d+(?:, | or )?)+) on Linux or macOS", (ROOT / "docs/how-to/install.md").read_text()
    )
    assert supported
    assert tested == set(re.findall(r"3\.\d+", supported[1]))


def test_no_workflow_has_more_permissions_than_it_needs() -> None:
    for path in WORKFLOWS:
        assert read(path)["permissions"] == {"contents": "read"}, path.name
        assert "persist-credentials: false" in path.read_text() or "checkout" not in path.read_text(), path.name


def test_every_action_is_pinned_by_its_commit() -> None:
    """A tag or branch may be moved to other code, which would run with the permission to publish."""
    used = [use for path in WORKFLOWS for use in re.findall(r"\buses: *(.+)", path.read_text())]
    assert used
    assert [use for use in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []


def test_no_workflow_runs_text_of_others() -> None:
    """An expression in a script is replaced before a shell reads it: the title of a pull request could be a command."""
    steps = [step for path in WORKFLOWS for job in read(path)["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []
    assert not [path.name for path in WORKFLOWS if "pull_request_target" in path.read_text()]


def test_templates_request_the_redacted_report() -> None:
    for path in (*FORMS, ROOT / ".github/pull_request_template.md"):
        assert "livehouse doctor --json" in path.read_text(), path.name

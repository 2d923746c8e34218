"""The recipe "Add an endpoint" of CONTRIBUTING.md, applied to a copy of the program: a night loads the new endpoint."""

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from pipelines.clock import days_from
from pipelines.simulator import operations
from pipelines.simulator.api_request import ApiRequest, ApiResponse
from pipelines.simulator.server import Simulator
from pipelines.simulator.value_styles import Json
from tests.night_runner import APP, LAST, NIGHT, world_of
from tests.pipeline_runner import environment_for, query, settings_for

ROOT = Path(__file__).parents[1]
STEP = re.compile(
    r"^(\d)\. [^`]*`(pipelines/[\w/]+\.py)`(?:, in `(\w+)`)?.*?\n\n   ```python\n(.*?)   ```\n",
    re.MULTILINE | re.DOTALL,
)
MOST_FILES = 3
PROGRAM = """
import sys, livehouse
from pipelines.marts.checks import find_checks
print(*(check.rule for check in find_checks() if check.table == "core.polls_daily"), flush=True)
sys.argv = ["livehouse", "nightly", "--date", "{last}"]
livehouse.main()
"""


class Step(NamedTuple):
    """One numbered step: code for a file, appended to it or to a tuple in it."""

    path: str
    in_tuple: str
    code: str


def recipe_steps() -> list[Step]:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    [recipe] = re.findall(r"^### Add an endpoint\n(.*?)^###? ", text, re.MULTILINE | re.DOTALL)
    found = [Step(path, in_tuple, textwrap.dedent(code)) for _, path, in_tuple, code in STEP.findall(recipe)]
    assert recipe.count("```python") == len(found)
    return found


def apply_step(tree: Path, step: Step) -> None:
    path = tree / step.path
    source = path.read_text(encoding="utf-8")
    if not step.in_tuple:
        path.write_text(f"{source}\n\n{step.code}", encoding="utf-8")
        return
    [end] = [
        node.end_lineno
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == step.in_tuple
    ]
    assert end is not None
    lines = source.splitlines()
    lines.insert(end - 1, textwrap.indent(step.code.rstrip(), "    ") + ",")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def get_polls(call: ApiRequest) -> ApiResponse:
    """Reply with two polls for each day but the last, which is left out, and one whose count cannot be read."""
    days = days_from(call.day_param("start_date", LAST), call.day_param("end_date", LAST))
    entries: list[dict[str, Json]] = [
        {"day": f"{day}", "total_polls": 2, "total_poll_minutes": "7.5"} for day in days if day < LAST
    ]
    entries[0]["total_polls"] = -1
    return ApiResponse({"success": True, "data": [*entries]})


def run_copy(tree: Path, code: str, environment: dict[str, str]) -> str:
    """Run Python code in the copied program. Returns its stdout."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        env=os.environ | environment | {"PYTHONPATH": f"{tree}{os.pathsep}{os.environ['PYTHONPATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.undescribed_requests
@pytest.mark.long
def test_the_recipe_loads_a_new_endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = recipe_steps()
    assert len({step.path for step in steps}) <= MOST_FILES
    tree = tmp_path / "program"
    for name in ("pipelines", "sql"):
        shutil.copytree(ROOT / name, tree / name)
    shutil.copy(ROOT / "livehouse.py", tree)
    for step in steps:
        apply_step(tree, step)

    monkeypatch.setitem(operations.ROUTES, "get-polls-analytics", ("GET", "/analytics/polls", get_polls))
    with Simulator(world_of(1)) as simulator:
        environment = environment_for(simulator, tmp_path / "home")
        checks = run_copy(tree, PROGRAM.format(last=LAST), environment).splitlines()[0].split()
        settings = settings_for(simulator, tmp_path / "home")

    first, second, last = days_from(*NIGHT)
    polls = "SELECT app_id, day, poll_count, poll_minutes FROM core.polls_daily ORDER BY day"
    assert query(settings, polls) == [(APP, second, 2, 7.5), (APP, last, 0, 0.0)]
    rejects = "SELECT day, field FROM ops.quarantine WHERE table_name = 'core.polls_daily'"
    assert query(settings, rejects) == [(first, "total_polls")]
    loads = """
        SELECT table_name, rows_received, rows_landed, rows_quarantined, rows_duplicate FROM ops.loads
        WHERE table_name LIKE '%polls%' ORDER BY table_name
    """
    assert query(settings, loads) == [("core.polls_daily", 3, 2, 1, 0), ("raw.polls", 3, 3, 0, 0)]
    fields = "SELECT field FROM ops.field_types WHERE table_name = 'raw.polls' ORDER BY field"
    assert query(settings, fields) == [("day",), ("total_poll_minutes",), ("total_polls",)]
    days = "SELECT day FROM ops.days WHERE table_name = 'core.polls_daily' ORDER BY day"
    assert query(settings, days) == [(first,), (second,), (last,)]
    described = "SELECT comment FROM duckdb_columns() WHERE column_name = 'poll_minutes'"
    assert query(settings, described) == [("Minutes polls were open",)]
    assert '"core.polls_daily":"Polls"' in (tmp_path / "home" / "report.html").read_text(encoding="utf-8")
    assert {"unique_key", "ledger_matches", "never_shrinks", "day_gaps", "quarantine_empty"} <= set(checks)

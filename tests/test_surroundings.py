"""Closed streams, resource limits, a deleted directory: the program works, or reports the cause in one line."""

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from pipelines.clock import machine_now
from pipelines.errors import find_machine_cause
from pipelines.orchestration.run_errors import collect_errors, describe_root_cause
from pipelines.simulator.server import Simulator
from pipelines.telemetry.logs import log
from tests.parameters import long_except
from tests.pipeline_runner import environment_for, small_world
from tests.promises.fault_runner import run_cli
from tests.report.test_page_cases import make_warehouse

ROOT = Path(__file__).parents[1]
PROGRAM = f"{sys.executable} -c 'from livehouse import main; main()'"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    with duckdb.connect(home / "warehouse.duckdb") as connection:
        connection.execute("CREATE TABLE numbers AS SELECT range AS n FROM range(100000)")
    return home


def run(command: str, home: Path, **environment: str) -> tuple[int, str, str]:
    """A line of shell, `livehouse` at its place: exit status, stdout, stderr."""
    given = {"PYTHONPATH": str(ROOT)} | environment | {"LIVEHOUSE_HOME": str(home)}
    done = subprocess.run(
        ["bash", "-c", command.replace("livehouse", PROGRAM)],
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("style", "streams"),
    long_except(
        product(
            ["table", "csv"],
            [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full", "> >(true)", "2> >(true)"],
        ),
        ("table", "<&- >&- 2>&-"),
        ("csv", "2>/dev/full"),
    ),
)
def test_a_stream_that_is_closed_or_full_is_no_fault(style: str, streams: str, home: Path) -> None:
    status, _, err = run(f"livehouse sql --format {style} 'FROM numbers' {streams}", home)
    assert status == 0, err
    assert "Traceback" not in err
    assert duckdb.connect(home / "warehouse.duckdb", read_only=True).execute("FROM numbers").fetchone(), "unharmed"


@pytest.mark.parametrize("style", long_except(["table", "lines", "csv", "json"], "json"))
def test_a_reader_of_any_style_may_leave(style: str, home: Path) -> None:
    status, _, err = run(f"livehouse sql --format {style} 'FROM numbers' | head -1; exit ${{PIPESTATUS[0]}}", home)
    assert (status, err) == (0, "") or "the first 1,000 rows" in err


@pytest.mark.parametrize("streams", long_except(["2>&-", ">&- 2>&-", "2>/dev/full"], ">&- 2>&-"))
def test_the_exit_status_reports_an_error_when_stderr_is_closed(streams: str, home: Path) -> None:
    assert run(f"livehouse sql 'FROM no_such' {streams}", home)[0] == 1


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells the CPU time of a process")
@pytest.mark.long  # burns processor time until the program is sure to be in its query
def test_ctrl_c_ends_a_query(home: Path) -> None:
    query = "SELECT count(*) FROM range(1_000_000_000) a, range(1_000_000_000) b WHERE a.range + b.range = 3"
    # `env --default-signal`: a shell ignores SIGINT in what it starts in the background, as this test may be.
    command = ["env", "--default-signal=INT", sys.executable, "-c", "from livehouse import main; main()", "sql", query]
    given = os.environ | {"PYTHONPATH": str(ROOT), "LIVEHOUSE_HOME": str(home)}
    with subprocess.Popen(command, env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            while program.poll() is None and cpu_seconds(program.pid) < 2.5:  # a start takes one second
                time.sleep(0.02)
            program.send_signal(signal.SIGINT)
            out, err = program.communicate(timeout=60)
        finally:
            program.kill()
    assert (program.returncode, out) == (130, ""), err
    assert [line.partition(";")[0] for line in err.split("\n") if line] == ["livehouse: stopped"]


@pytest.mark.long
@pytest.mark.parametrize("style", long_except(["csv", "json"], "json"))
def test_rows_that_end_with_an_error_are_not_taken_for_all(style: str, home: Path) -> None:
    """Written rows stay written: the status is 1, one line has the reason, and the JSON is not closed."""
    query = "SELECT n, CASE WHEN n = 90000 THEN error($$broken row$$) END AS x FROM numbers"
    status, out, err = run(f"livehouse sql --format {style} '{query}'", home)
    assert (status, err.count("\n")) == (1, 1), err
    assert "broken row" in err
    if style == "json" and out:
        with pytest.raises(ValueError, match=r"delimiter|Expecting"):
            json.loads(out)


@pytest.mark.parametrize(
    ("command", "environment", "named"),
    [
        (
            "mkdir gone; cd gone; rmdir ../gone; livehouse sql 'FROM numbers'",
            {},
            "the working directory no longer exists",
        ),
        pytest.param(
            "livehouse sql 'FROM numbers'", {"PYTHONOPTIMIZE": "2"}, "PYTHONOPTIMIZE=2", marks=pytest.mark.long
        ),
        ("ulimit -n 24; livehouse sql 'FROM numbers'", {}, "ulimit -n"),
    ],
)
def test_what_cannot_work_is_one_line(command: str, environment: dict[str, str], named: str, home: Path) -> None:
    status, out, err = run(command, home, **environment)
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert named in err


SURROUNDINGS = {
    "optimized": "export PYTHONOPTIMIZE=1",
    "few open files": "ulimit -Sn 24",
    "another package": "mkdir -p other/pipelines; touch other/pipelines/__init__.py; PYTHONPATH=other:$PYTHONPATH",
    "no directory for temporary files": "export TMPDIR=/nonexistent",
    "no UTF-8": "export LC_ALL=C LANG=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0",
}


@pytest.mark.long
@pytest.mark.parametrize("name", ["all of them", *long_except(SURROUNDINGS)])
def test_what_works(name: str, home: Path) -> None:
    prepare = SURROUNDINGS.get(name) or "; ".join(SURROUNDINGS.values())
    status, out, err = run(f"{prepare}; livehouse sql --format csv 'SELECT count(*) AS n FROM numbers'", home)
    assert (status, out, err) == (0, "n\n100000\n", "")


def test_a_home_with_a_question_mark_is_refused_and_nothing_is_made(tmp_path: Path) -> None:
    """DuckDB and SQLite take what follows it for options."""
    given = {"CLOUDFLARE_API_TOKEN": "x", "CLOUDFLARE_ACCOUNT_ID": "x", "REALTIMEKIT_APP_ID": "x"}
    status, out, err = run_cli(given | {"LIVEHOUSE_HOME": f"{tmp_path / 'a?b'}"}, "nightly")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert err.startswith("livehouse: LIVEHOUSE_HOME is malformed: it takes ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_the_report_lies_in_the_home_whatever_the_directory_of_the_warehouse_is_called(tmp_path: Path) -> None:
    """A warehouse in a directory called `demo` was taken for that of the demo, and the report written beside it."""
    published = tmp_path / "demo" / "warehouse.duckdb"
    published.parent.mkdir()
    (tmp_path / "home").mkdir()
    make_warehouse(published.parent)
    environment = {"LIVEHOUSE_HOME": str(tmp_path / "home"), "LIVEHOUSE_WAREHOUSE": str(published)}
    status, out, err = run_cli(environment, "report")
    assert (status, out) == (0, f"{tmp_path / 'home' / 'report.html'}\n"), err
    assert [path.name for path in published.parent.iterdir()] == ["warehouse.duckdb"]


def test_the_program_lies_beside_its_package_however_it_is_installed() -> None:
    """An editable install copies what is in force-include: `livehouse.py` would look for its package in site-packages."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert {"livehouse.py", "pipelines"} <= set(wheel["only-include"])
    assert "livehouse.py" not in wheel["force-include"]


@pytest.mark.long
@pytest.mark.parametrize("variable", long_except(["LIVEHOUSE_HOME", "LIVEHOUSE_WAREHOUSE"], "LIVEHOUSE_WAREHOUSE"))
def test_a_path_that_is_not_utf_8_is_one_line(variable: str, tmp_path: Path) -> None:
    given = {**os.environ, "PYTHONPATH": str(ROOT), "LC_ALL": "C"}
    environment = {name.encode(): text.encode() for name, text in given.items()} | {variable.encode(): b"home\xff"}
    done = subprocess.run(
        ["bash", "-c", PROGRAM + " doctor"],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in {1, 2}
    assert variable in (done.stdout + done.stderr).decode()
    assert not [path for path in tmp_path.iterdir() if b"\xff" in os.fsencode(path)]


@pytest.mark.parametrize(
    ("err", "named"),
    [
        ("RuntimeError: can't start new thread", "ulimit -u"),
        ("BlockingIOError: [Errno 11] Resource temporarily unavailable", "ulimit -u"),
        ("OSError: [Errno 24] Too many open files: 'x'", "ulimit -n"),
        ("FileNotFoundError: [Errno 2] No usable temporary directory found in ['/tmp']", "TMPDIR"),
        ("ValueError: whatever", None),
    ],
)
def test_the_machine_is_named_where_it_is_the_cause(err: str, named: str | None) -> None:
    cause = find_machine_cause(err)
    assert (named is None and cause is None) or (named is not None and cause is not None and named in cause)

    class Error:
        message, cause, cls_name = err, None, None

    assert named is None or named in str(describe_root_cause(Error())), "in a run as well"


def test_what_a_failure_entails_is_not_reported_beside_it() -> None:
    """Once polars could not start its threads, each later use of it fails, with another message."""

    def failed_step(text: str) -> SimpleNamespace:
        error = SimpleNamespace(message=text, cause=None, cls_name="PanicException")
        data = SimpleNamespace(user_failure_data=None, error=error)
        return SimpleNamespace(event_specific_data=data, is_step_failure=True, is_failure=False)

    panic = 'could not spawn threads: ThreadPoolBuildError { message: "Resource temporarily unavailable" }'
    entailed = "pyo3_runtime.PanicException: LazyLock instance has previously been poisoned"
    [error] = collect_errors([failed_step(panic), failed_step(entailed)])
    assert "ulimit -u" in str(error)


def test_what_is_logged_does_not_command_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    log("aula: \x1b[2J\x9b31mname\u202e\nsecond line")
    assert capsys.readouterr().err == r"aula: \x1b[2J\x9b31mname\u202e\nsecond line" + "\n"


# --- whole runs: slow ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served() -> Iterator[Simulator]:
    with Simulator(
        small_world(livestreams=4, sessions=20, now=machine_now())
    ) as simulator:  # processes have the real clock
        yield simulator


@pytest.mark.long
@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&-", "2>/dev/full", ">/dev/full", "| true"])
def test_a_run_is_done_though_nobody_can_read_of_it(streams: str, served: Simulator, tmp_path: Path) -> None:
    command = f"livehouse nightly {streams}; exit ${{PIPESTATUS[0]}}"
    status, _, err = run(command, tmp_path / "home", **environment_for(served, tmp_path / "home"))
    assert status == 0, err
    assert (tmp_path / "home" / "warehouse.duckdb").exists()
    assert len(err.splitlines()) <= 2


@pytest.mark.long
@pytest.mark.parametrize("streams", ["", "2>&-", "2>/dev/full", "<&-"])
def test_the_json_document_is_complete_with_any_stream_closed(streams: str, served: Simulator, tmp_path: Path) -> None:
    home = tmp_path / "home"
    status, out, err = run(f"livehouse nightly --quiet --json {streams}", home, **environment_for(served, home))
    assert status == 0, err
    assert json.loads(out)["succeeded"] is True


@pytest.mark.long
def test_the_json_document_of_a_failed_run_is_complete(served: Simulator, tmp_path: Path) -> None:
    environment = environment_for(served, tmp_path, CLOUDFLARE_BASE_URL="http://127.0.0.1:9/client/v4")
    status, out, _ = run("livehouse nightly --quiet --json 2>&-", tmp_path, **environment)
    assert status == 1
    assert json.loads(out)["succeeded"] is False

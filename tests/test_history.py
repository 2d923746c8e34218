"""Dagster's history: a directory of any name, a locked or damaged file, and telemetry that stays off."""

import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest

from pipelines.cli.diagnostics_history import check_history
from pipelines.cli.history import DAGSTER_YAML, history_files, open_history
from pipelines.errors import AlreadyRunningError, WarehouseError
from pipelines.orchestration import event_log, sqlite_files
from pipelines.orchestration.resources import RANGE_END, RANGE_START
from pipelines.settings.settings import Settings
from tests.parameters import long_except

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("ready", flush=True)
sys.stdin.readline()
"""


def settings_of(home: Path, **others: str) -> Settings:
    return Settings(LIVEHOUSE_HOME=str(home), **others)  # type: ignore[arg-type,call-arg]  # read by alias


def add_run(instance: dg.DagsterInstance) -> None:
    @dg.op
    def nothing() -> None:
        """Make nothing."""

    @dg.job
    def one() -> None:
        nothing()

    assert one.execute_in_process(instance=instance, run_config=SILENT).success


@pytest.fixture(scope="module")
def kept_history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A history of one run. Its copies spare each test the migrations of three databases."""
    home = tmp_path_factory.mktemp("history")
    with open_history(settings_of(home)) as instance:
        add_run(instance)
    return home / "dagster"


@pytest.fixture
def history(kept_history: Path, tmp_path: Path) -> Path:
    """Return the directory of a copy of that history, in the home of the test."""
    return Path(shutil.copytree(kept_history, tmp_path / "dagster"))


NO_DATABASE, MALFORMED = b"no database" * 1000, b"SQLite format 3\0" + b"\xff" * 9000
SILENT = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@contextmanager
def locked(file: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another program that has a file of the history locked, until it is ended."""
    command = [sys.executable, "-c", LOCK, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    "name", long_except(["50%20off", "50%", "a#b", "[ab]*", "ü:@ &=", "a#ü%3F[d] %20"], "a#ü%3F[d] %20")
)
def test_a_home_may_have_any_name(name: str, tmp_path: Path) -> None:
    """Seen: with `%20` in the path, SQLite files lay outside of the home, and "no such table"."""
    home = tmp_path / name
    with open_history(settings_of(home)) as instance:
        add_run(instance)
    with open_history(settings_of(home)) as instance:
        [run] = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert instance.all_logs(run.run_id)
        assert not instance.telemetry_enabled
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert all(file.is_file() for file in history_files(home / "dagster"))
    assert not list(Path.cwd().glob("*.db"))


@pytest.mark.parametrize(
    "content",
    long_except([b"", b"\n\n", b"# nothing\n  # expected\n", b"telemetry:\n  enabled: false\n", None], b"", None),
)
def test_telemetry_stays_off(content: bytes | None, tmp_path: Path) -> None:
    """Seen: a dagster.yaml of no bytes switched it on."""
    config = tmp_path / "dagster" / "dagster.yaml"
    if content is not None:
        config.parent.mkdir()
        config.write_bytes(content)
    with open_history(settings_of(tmp_path)) as instance:
        assert not instance.telemetry_enabled
    assert b"enabled: false" in config.read_bytes()


def test_a_history_of_an_earlier_version_goes_on(history: Path, tmp_path: Path) -> None:
    earlier = (
        DAGSTER_YAML.partition("run_storage")[0]
        + "event_log_storage"
        + DAGSTER_YAML.partition("event_log_storage")[2].partition("schedule_storage")[0]
    )
    (history / "dagster.yaml").write_text(earlier)
    with open_history(settings_of(tmp_path)) as instance:
        assert len(instance.get_runs()) == 1
    assert (history / "dagster.yaml").read_text() == DAGSTER_YAML


@pytest.mark.parametrize(
    "content",
    [
        b"x: [",
        b"- a\n- b\n",
        b"no_such_key: 1\n",
        b"just text",
        b"\x00\x01\xff",
        b"run_storage: {}\n",
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_bytes(content)
    with pytest.raises(WarehouseError, match=r"dagster\.yaml is .*move it away") as refused:
        open_history(settings_of(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "content"), long_except(product(range(3), (NO_DATABASE, MALFORMED)), (0, NO_DATABASE), (1, MALFORMED))
)
def test_a_damaged_history_is_one_line(number: int, content: bytes, history: Path, tmp_path: Path) -> None:
    file = history_files(history)[number]
    for left in file.parent.glob(f"{file.name}-*"):
        left.unlink()
    file.write_bytes(content)
    with pytest.raises(WarehouseError, match=r"move it away") as refused:
        open_history(settings_of(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("number", long_except(range(3), 1))
def test_a_locked_history_is_waited_for(
    number: int, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen: locked for 40 s, "move it away", which would have been harmful."""
    file = history_files(history)[number]
    with locked(file) as other:
        named = f"PID {other.pid} (python" if sys.platform == "linux" else "another program"
        with pytest.raises(AlreadyRunningError) as refused:
            open_history(settings_of(tmp_path, LIVEHOUSE_LOCK_WAIT_SECONDS="0.3"))
        assert named in str(refused.value)
        assert "move it away" not in str(refused.value)
        assert f"waiting for {named}" in capsys.readouterr().err


@pytest.mark.long
def test_a_history_that_is_locked_while_a_run_goes_on_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_files, "_REPORT_AFTER_SECONDS", 0.1)
    with open_history(settings_of(tmp_path)) as instance:

        @dg.op
        def meanwhile() -> None:
            """Let another program lock the history, until that is reported."""
            other = begun.enter_context(locked(history_files(tmp_path / "dagster")[0]))
            Thread(target=let_go, args=(other,), daemon=True).start()

        def let_go(other: "subprocess.Popen[str]") -> None:
            for _ in range(200):
                messages.append(capsys.readouterr().err)
                if "waiting for" in "".join(messages):
                    break
                time.sleep(0.1)
            other.kill()

        @dg.job(tags={"livehouse/test": "locked"})
        def one() -> None:
            meanwhile()

        messages: list[str] = []
        with ExitStack() as begun:
            assert one.execute_in_process(instance=instance, run_config=SILENT).success
            assert "which has" in "".join(messages)


@pytest.mark.parametrize(
    ("damage", "state", "expected"),
    [
        ("none", "ok", "can be written"),
        ("nothing there", "ok", "created by the first run"),
        ("a file in its place", "fault", "cannot be written"),
        ("configuration", "fault", "dagster.yaml is not accepted by Dagster"),
        ("no YAML", "fault", "dagster.yaml is not valid YAML"),
        ("runs", "fault", "not a database"),
        ("index", "fault", "malformed"),
        ("locked", "warning", "is locked by"),
    ],
)
def test_the_doctor_examines_the_history(
    damage: str, state: str, expected: str, kept_history: Path, tmp_path: Path
) -> None:
    """Seen: all was well by the doctor while no run could begin."""
    home = tmp_path / "dagster"
    with ExitStack() as held:
        if damage not in {"nothing there", "a file in its place"}:
            shutil.copytree(kept_history, home)
        runs, index, _ = history_files(home)
        match damage:
            case "a file in its place":
                home.write_text("")
            case "configuration" | "no YAML":
                (home / "dagster.yaml").write_text("no_such_key: 1\n" if damage == "configuration" else "x: [")
            case "runs":
                runs.write_bytes(b"no database" * 1000)
            case "index":
                with index.open("r+b") as file:
                    file.seek(4096)
                    file.write(b"\xff" * (index.stat().st_size - 4096))
            case "locked":
                held.enter_context(locked(runs))
        found = [*check_history(settings_of(tmp_path))]
    assert [finding.state for finding in found] == [state]
    assert expected in found[0].message
    assert "\n" not in found[0].message + found[0].remedy
    assert bool(found[0].remedy) is (state != "ok")


STORED = {
    "event_logs": "SELECT dagster_event_type, step_key, asset_key, partition FROM event_logs",
    "asset_keys": "SELECT asset_key, last_materialization IS NULL, wipe_timestamp, tags FROM asset_keys",
    "asset_event_tags": "SELECT asset_key, key FROM asset_event_tags",
    "asset_check_executions": "SELECT asset_key, check_name, execution_status, evaluation_event_storage_id FROM asset_check_executions",
    "sqlite_master": "SELECT type, name, sql FROM sqlite_master",
    "alembic_version": "SELECT version_num FROM alembic_version",
}
"""The stored columns that do not differ between two runs."""


def load_week(instance: dg.DagsterInstance) -> str:
    """Materialize two assets for a week, the second with metadata per day and a check; return the id of the run."""
    week = dg.DailyPartitionsDefinition("2026-01-01", timezone="UTC")
    one_run = dg.BackfillPolicy.single_run()

    @dg.asset(partitions_def=week, backfill_policy=one_run)
    def first() -> None:
        """Load nothing."""

    @dg.asset(partitions_def=week, backfill_policy=one_run, deps=[first], tags={"livehouse/test": "week"})
    def second(context: dg.AssetExecutionContext) -> None:
        for day in context.partition_keys:
            context.add_asset_metadata({"rows": 1}, partition_key=day)

    @dg.multi_asset_check(specs=[dg.AssetCheckSpec("holds", asset=second)])
    def holds() -> Iterator[dg.AssetCheckResult]:
        yield dg.AssetCheckResult(passed=True, asset_key=second.key, check_name="holds")

    job = dg.Definitions(
        assets=[first, second],
        asset_checks=[holds],
        jobs=[dg.define_asset_job("week")],
        executor=dg.in_process_executor,
    ).resolve_job_def("week")
    tags = {RANGE_START: "2026-01-01", RANGE_END: "2026-01-07"}
    result = job.execute_in_process(instance=instance, tags=tags, run_config=SILENT)
    assert result.success
    return result.run_id


def read_stored_rows(runs: Path, run_id: str) -> dict[str, list[tuple[Any, ...]]]:
    stored: dict[str, list[tuple[Any, ...]]] = {}
    for name in ("index", run_id):
        with closing(sqlite3.connect(runs / f"{name}.db")) as connection:
            for table, query in STORED.items():
                stored[f"{name.replace(run_id, 'run')}.{table}"] = sorted(connection.execute(query), key=repr)
    return stored


@pytest.mark.long
def test_the_batched_event_log_stores_the_rows_of_dagsters_own(tmp_path: Path) -> None:
    """A version of Dagster with which this test passes can be allowed in pyproject.toml (`make test-newest` tries it)."""
    with open_history(settings_of(tmp_path)) as instance:
        batched = read_stored_rows(tmp_path / "dagster" / "history" / "runs", load_week(instance))
    (tmp_path / "original").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "original")) as instance:
        original = read_stored_rows(tmp_path / "original" / "history" / "runs", load_week(instance))
    assert len([row for row in batched["index.event_logs"] if row[3]]) == 28, "two events per day and asset"
    assert batched["index.asset_check_executions"]
    assert batched == original


def test_an_event_that_waits_for_others_is_stored_while_the_step_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "_LONGEST_WAIT_SECONDS", 0.05)
    stored = "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'STEP_START'"
    counts: list[int] = []
    with open_history(settings_of(tmp_path)) as instance:

        @dg.op
        def wait(context: dg.OpExecutionContext) -> None:
            """Read the file as another program does, until it has the event that says that this step has started."""
            file = tmp_path / "dagster" / "history" / "runs" / f"{context.run_id}.db"
            with closing(sqlite3.connect(file)) as other:
                for _ in range(200):
                    counts.extend(other.execute(stored).fetchone())
                    if counts[-1]:
                        break
                    time.sleep(0.02)

        @dg.job
        def one() -> None:
            wait()

        assert one.execute_in_process(instance=instance, run_config=SILENT).success
        assert counts[-1] == 1

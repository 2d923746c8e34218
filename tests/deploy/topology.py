"""The services of `deploy/compose.yaml` as processes of this machine: a daemon, and workers that come and go."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from pipelines.orchestration.resources import RANGE_END, RANGE_START
from tests.deploy.history import DEPLOY, build_history_environment
from tests.postgres import Postgres
from tests.ui.serving import free_port

_BUSY = """
    SELECT run_id FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED') OR status = 'FAILURE'
        AND EXISTS (SELECT FROM run_tags AS tag WHERE tag.run_id = runs.run_id AND key = 'dagster/will_retry' AND value = 'true')
        AND NOT EXISTS (SELECT FROM run_tags AS tag WHERE tag.run_id = runs.run_id AND key = 'dagster/auto_retry_run_id')
"""

_LAUNCH = """
import json, sys
import dagster
from dagster._cli.job import _create_run
from dagster._cli.workspace.cli_target import get_workspace_from_cli_opts
from dagster_shared.cli import WorkspaceOpts
options = WorkspaceOpts(module_name=("pipelines.definitions",))
with (
    dagster.DagsterInstance.get() as instance,
    get_workspace_from_cli_opts(instance, version=dagster.__version__, workspace_opts=options) as workspace,
):
    [location] = workspace.code_locations
    [repository] = location.get_repositories().values()
    job = repository.get_full_job(sys.argv[1])
    for tags in json.loads(sys.argv[2]):
        run = _create_run(
            instance=instance, code_location=location, remote_repo=repository, remote_job=job, run_config={}, tags=tags,
            op_selection=None, run_id=None,
        )
        instance.submit_run(run.run_id, workspace)
"""
"""As `dagster job launch`, for several runs of a job at once: loading the code takes longer than everything else."""

BIN = Path(sys.executable).parent
PROJECT = DEPLOY.parent


class Topology:
    """Starts the services, each in a home of its own, and asks the history in PostgreSQL about the runs."""

    def __init__(self, postgres: Postgres, directory: Path, environment: dict[str, str], stack: ExitStack) -> None:
        self._postgres, self._directory, self._stack = postgres, directory, stack
        self.homes: dict[str, Path] = {}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        others = {name: value for name, value in os.environ.items() if not name.startswith("LIVEHOUSE_")}
        self._environment = others | environment | build_history_environment(postgres, directory)
        self.database = self._environment["DAGSTER_POSTGRES_URL"].partition("@/")[2].partition("?")[0]
        # With that of the tests, which sets the clock: worlds have a time of their own.
        python_path = f"{PROJECT}:{os.environ['PYTHONPATH']}"
        self._environment |= {"PYTHONPATH": python_path, "PATH": f"{BIN}:{os.environ['PATH']}"}
        self._environment |= self._start_redis()

    @property
    def has_redis(self) -> bool:
        """Whether the broker is that of compose.yaml."""
        return "broker" in self.processes

    def _start_redis(self) -> dict[str, str]:
        """Start the broker of compose.yaml; without Debian's redis-server, PostgreSQL is the broker."""
        program = shutil.which("redis-server")
        if program is None:
            return {}
        port = free_port()
        self._start("broker", [program, "--port", f"{port}", "--bind", "127.0.0.1", "--save", ""], self._directory)
        address = f"redis://127.0.0.1:{port}"
        return {"CELERY_BROKER_URL": f"{address}/0", "CELERY_RESULT_BACKEND": f"{address}/1"}

    def _start(
        self, name: str, command: list[str], home: Path, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        log = self._stack.enter_context((self._directory / f"{name}.log").open("ab"))
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log, start_new_session=True)
        self._stack.callback(kill, process)
        self.processes[name] = process
        return process

    def _at(self, name: str) -> tuple[Path, dict[str, str]]:
        home = self._directory / name
        home.mkdir(exist_ok=True)
        (home / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
        self.homes[name] = home
        return home, self._environment | {"DAGSTER_HOME": f"{home}", "LIVEHOUSE_HOME": f"{home / 'data'}"}

    def start_daemon(self) -> subprocess.Popen[bytes]:
        home, environment = self._at("daemon")
        return self._start("daemon", ["dagster-daemon", "run", "-m", "pipelines.definitions"], home, environment)

    def start_worker(self, name: str) -> subprocess.Popen[bytes]:
        home, environment = self._at(name)
        command = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["worker"]["command"]
        return self._start(name, [*command, "-n", f"{name}@%h"], home, environment)

    def restart_ended(self) -> None:
        """Start the daemon and the workers again that have ended, as Docker does."""
        for name, process in list(self.processes.items()):
            if process.poll() is not None and name != "broker":
                _ = self.start_daemon() if name == "daemon" else self.start_worker(name)

    def launch(self, job: str, days: tuple[date, date], **others: str) -> None:
        """Put a run into the queue, as a schedule does."""
        self.launch_each(job, days, [others])

    def launch_each(self, job: str, days: tuple[date, date], tags: list[dict[str, str]]) -> None:
        """Put a run with each of these tags into the queue."""
        home, environment = self._at("daemon")
        wanted = [{RANGE_START: f"{days[0]}", RANGE_END: f"{days[1]}", **others} for others in tags]
        command = [sys.executable, "-c", _LAUNCH, job, json.dumps(wanted)]
        subprocess.run(command, env=environment, cwd=home, check=True, stderr=subprocess.DEVNULL)

    def terminate(self, number: int) -> None:
        """End a run as the UI does; `number` counts from 0."""
        home, environment = self._at("daemon")
        run_ids = self._postgres.execute("SELECT run_id FROM runs ORDER BY id", self.database)
        code = f"""
import dagster
with dagster.DagsterInstance.get() as instance:
    assert instance.run_coordinator.cancel_run('{run_ids[number][0]}')
"""
        subprocess.run([sys.executable, "-c", code], env=environment, cwd=home, check=True)

    def statuses(self) -> list[str]:
        """Return the status of each run, oldest first."""
        found = self._postgres.execute("SELECT status FROM runs ORDER BY id", self.database)
        return [str(status) for (status,) in found]

    def statuses_by_run(self) -> dict[str, str]:
        """Return the status of each run by its id."""
        return dict(self._postgres.execute("SELECT run_id, status FROM runs", self.database))

    def is_busy(self) -> bool:
        """Whether a run has not ended, or is about to be started again."""
        return bool(self._postgres.execute(_BUSY, self.database))

    def wait_for(self, reached: Callable[[], Any], seconds: float = 240.0) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            logs = {path.name: path.read_text()[-1_500:] for path in self._directory.glob("*.log")}
            assert time.monotonic() < deadline, (self.statuses(), logs)
            time.sleep(0.2)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a service with its children, as Docker does."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running_topology(postgres: Postgres, directory: Path, environment: dict[str, str]) -> Iterator[Topology]:
    """Start the broker, and end every service with the block."""
    with ExitStack() as stack:
        yield Topology(postgres, directory, environment, stack)

"""Four workers load twelve apps while workers and PostgreSQL are killed, workers are upgraded, and a file is lost.

`CHAOS_MINUTES` sets how long things go wrong (20); `CHAOS_SEED` repeats a sequence of events.
"""

import logging
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import LivehouseError
from pipelines.orchestration.resources import APPS
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.storage.warehouse import open_warehouse
from tests.deploy.topology import Topology, kill, running_topology
from tests.fixed_clock import NOW
from tests.lake.test_workers import DOUBLED, TORN
from tests.pipeline_runner import DAYS, assert_matches_world, environment_for, open_published, query, settings_for
from tests.postgres import Postgres
from tests.promises.fault_runner import child_process, run_cli
from tests.promises.world_factory import change_everything, tiny_world
from tests.webhook_receiver import Receiver

LOG = logging.getLogger(__name__)
MINUTES = float(os.environ.get("CHAOS_MINUTES", "20"))
SEED = int(os.environ.get("CHAOS_SEED", "27"))
TWELVE = tuple(f"app{number:02}" for number in range(12))
GROUPS = [",".join(TWELVE[first : first + 3]) for first in range(0, 12, 3)]
RATE, WINDOW_SECONDS = 6, 10
SETTLE_SECONDS = 1_200.0
"""Longer than a run takes that is lost three times."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(int(MINUTES * 60) + 2 * int(SETTLE_SECONDS))]


def read_repeatedly(pipe: Connection, environment: dict[str, str]) -> None:
    """Read until the parent signals; send the wrong figures and errors found, and the number of complete reads.

    A reader may be refused, with one line, while PostgreSQL is away or a file is lost; it may not see part of a load.
    """
    settings = Settings(**environment)  # type: ignore[arg-type]  # read by alias
    wrong: list[Any] = []
    reads = 0
    while not pipe.poll(5.0):
        try:
            with open_warehouse(settings).open_published() as connection:
                wrong += connection.execute(TORN).fetchall() + connection.execute(DOUBLED).fetchall()
            reads += 1
        except LivehouseError as error:
            wrong += [str(error)] if "\n" in str(error) else []
        except Exception as error:  # noqa: BLE001 - any other error is a finding
            wrong.append(repr(error))
    pipe.send((wrong, reads))


class Chaos:
    """Causes failures in random order: an upgrade and a lost file once, everything else repeatedly."""

    def __init__(self, services: Topology, postgres: Postgres, reader: Settings, lake: str) -> None:
        self._services, self._postgres, self._reader, self._lake = services, postgres, reader, lake
        self._dice = random.Random(SEED)
        self._deaths = [self.kill_worker, self.kill_worker, self.crash_postgres]
        self.happened: Counter[str] = Counter()
        self.workers = [f"worker{number}" for number in range(4)]
        self._events = self._plan()

    @property
    def is_complete(self) -> bool:
        """Whether everything has happened at least once."""
        return len(self.happened) == len({*self._deaths, self.upgrade_workers, self.lose_file})

    def _plan(self) -> Iterator[Callable[[], None]]:
        """Yield what happens next; everything once, then the deaths again."""
        first = [*self._deaths, self.upgrade_workers, self.lose_file]
        self._dice.shuffle(first)
        yield from first
        while True:
            yield self._dice.choice(self._deaths)

    def cause_next(self) -> None:
        event = next(self._events)
        event()
        self.happened[event.__name__] += 1

    def kill_worker(self) -> None:
        kill(self._services.processes[self._dice.choice(self.workers)])  # Docker starts it again

    def crash_postgres(self) -> None:
        self._postgres.crash()

    def upgrade_workers(self) -> None:
        for name in self.workers:
            worker = self._services.processes[name]
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(120) == 0, "a worker ends within its grace"
            self._services.start_worker(name)

    def lose_file(self) -> None:
        """Lose a data file of the facts; the doctor names it, and `livehouse mend` rebuilds it while runs go on."""
        environment = {"LIVEHOUSE_HOME": f"{self._reader.home}", "LIVEHOUSE_WAREHOUSE": self._lake}
        listed = "SELECT data_file FROM ducklake_list_files('lake', 'livestream_sessions', schema => 'core')"
        while True:
            with open_published(self._reader) as connection:
                files = sorted(path for (path,) in connection.execute(listed).fetchall())
            if not files:
                time.sleep(1)  # nothing is loaded yet
                continue
            Path(self._dice.choice(files)).unlink(missing_ok=True)
            if "(missing)" in run_cli(environment, "doctor")[1]:
                break  # else a run had just replaced it
        status, output, errors = run_cli(environment, "mend")
        assert status == 0, errors
        assert "built from raw" in output, output


@pytest.fixture
def reader_settings(lake: str, tmp_path: Path) -> Iterator[tuple[Simulator, Settings, dict[str, str]]]:
    pytest.importorskip("dagster_celery", reason="the extra `deploy` is not installed")
    place = {
        "LIVEHOUSE_WAREHOUSE": lake,
        "LIVEHOUSE_DATA_PATH": f"{tmp_path / 'files'}",
        "LIVEHOUSE_REQUESTS_PER_SECOND": f"{RATE}",
        "LIVEHOUSE_RETRY_PAUSE_SECONDS": "0.2",
        "LIVEHOUSE_ALERT_FORMAT": "json",
    }
    world = tiny_world(apps=TWELVE, livestreams=3, sessions=24, broken=False)
    with Simulator(world, rate_limit=(RATE * WINDOW_SECONDS, WINDOW_SECONDS)) as simulator:
        settings = settings_for(simulator, tmp_path / "reader", **place)
        with open_warehouse(settings).open_working():
            pass  # readers have something to open
        yield simulator, settings, environment_for(simulator, tmp_path / "reader", **place)


def test_figures_survive_chaos(
    postgres: Postgres, lake: str, reader_settings: tuple[Simulator, Settings, dict[str, str]], tmp_path: Path
) -> None:
    simulator, settings, environment = reader_settings
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver.listening())
        webhook = {"LIVEHOUSE_ALERT_WEBHOOK": receiver.address}
        services = stack.enter_context(running_topology(postgres, tmp_path, environment | webhook))
        chaos = Chaos(services, postgres, settings, lake)
        for name in chaos.workers:
            services.start_worker(name)
        services.start_daemon()
        readers = [stack.enter_context(child_process(read_repeatedly, environment))[1] for _ in range(2)]
        launched = load_again_and_again(services, simulator, chaos)
        statuses = services.statuses_by_run()
        alerts = Counter(body["run_id"] for _, body in receiver.posted if body["type"] == "run_failed")
        ended = Counter(statuses.values())
        LOG.warning("%s rounds, %s, runs: %s, %s alerts", launched, chaos.happened, ended, alerts.total())
        reads = []
        assert set(statuses.values()) <= {"SUCCESS", "FAILURE"}, "no run is left over"
        assert set(alerts) == {run_id for run_id, status in statuses.items() if status == "FAILURE"}
        # A crash between a message and the record of it lets the sensor post it again, with the same id.
        assert alerts.total() - len(alerts) <= chaos.happened["crash_postgres"]
        for reader in readers:
            reader.send("stop")
            wrong, complete = reader.recv()
            assert wrong == []
            assert complete > 5
            reads.append(complete)
    LOG.warning("%s reads, %s requests", sum(reads), len(simulator.requests))
    assert {request.status for request in simulator.requests} == {200}, "no request was over the budget"
    assert_matches_world(settings, simulator.world)
    assert query(settings, TORN) == query(settings, DOUBLED) == []
    assert query(settings, "SELECT * FROM ops.open_backfills") == []


def load_again_and_again(services: Topology, simulator: Simulator, chaos: Chaos) -> int:
    """Start a run for each group, again with other figures once all have ended, while things go wrong; then once undisturbed.

    Returns how often.
    """
    pause_seconds = min(75.0, MINUTES * 60 / 6)
    next_event, disturbed_seconds = pause_seconds, 0.0
    rounds = 0
    while True:
        is_last = disturbed_seconds >= MINUTES * 60 and chaos.is_complete
        if rounds:
            change_everything(simulator.world, NOW + timedelta(seconds=rounds))
        services.launch_each("backfill", DAYS, [{APPS: group} for group in GROUPS])
        rounds += 1
        began = time.monotonic()
        while services.is_busy():
            now_seconds = disturbed_seconds + time.monotonic() - began
            assert now_seconds < disturbed_seconds + SETTLE_SECONDS, services.statuses_by_run()
            services.restart_ended()
            if now_seconds >= next_event and not is_last:
                chaos.cause_next()
                next_event = disturbed_seconds + time.monotonic() - began + pause_seconds
            time.sleep(1)
        disturbed_seconds += time.monotonic() - began
        if is_last:
            break
    assert services.statuses()[-len(GROUPS) :] == ["SUCCESS"] * len(GROUPS)
    return rounds

"""A world served from a process of its own, and the programs that load it: livehouse, what a user would pick instead, the floor."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

APP = "aula"
PEERS = Path(__file__).parent / "peers"
LIVEHOUSE = "livehouse"
DLT, DLT_AS_DOCUMENTED, SDK, FLOOR = "dlt", "dlt as documented", "SDK loop", "floor"


class World(NamedTuple):
    """What is served, and how: seconds of latency; requests and seconds of a window, or no limit at all."""

    livestreams: int = 2_000
    sessions: int = 12_000
    days: int = 30
    latency: float = 0.020
    limit: tuple[int, float] | None = None

    @property
    def range(self) -> tuple[date, date]:
        """First and last day."""
        last = datetime.now(UTC).date()
        return last - timedelta(days=self.days - 1), last


class Heard(NamedTuple):
    """What the server heard: requests, those it refused with a 429, and when the first and the last one came."""

    requests: int
    refused: int
    first: float
    last: float


def serve(told: Connection, of: World) -> None:
    """Serve the world; add a session to so many livestreams, and say what was heard, when told to."""
    from pipelines.simulator.server import Simulator
    from pipelines.simulator.world import World as Simulated

    now = datetime.now(UTC)
    world = Simulated.seeded(
        7, apps=[APP], livestreams=of.livestreams, sessions=of.sessions, days=of.days, now=now, on_air=5, broken=False
    )
    with Simulator(world, latency=of.latency, rate_limit=of.limit) as simulator:
        arrivals: list[float] = []
        threading.Thread(target=_note_arrivals, args=(simulator.requests, arrivals), daemon=True).start()
        told.send(
            {
                "CLOUDFLARE_API_TOKEN": simulator.token,
                "CLOUDFLARE_ACCOUNT_ID": simulator.account_id,
                "CLOUDFLARE_BASE_URL": simulator.base_url,
                "REALTIMEKIT_APP_ID": APP,
            }
        )
        begun = 0
        while (order := told.recv()) != "stop":
            if isinstance(order, int):
                for stream in world.apps[APP].livestreams[:order]:
                    world.add_session(
                        APP, stream.id, created_at=datetime.now(UTC), ingest_seconds=600.0, viewer_seconds=6_000.0
                    )
            time.sleep(2 * _LOOKS_EVERY)
            asked, times = simulator.requests[begun:], arrivals[begun:]
            begun += len(asked)
            refused = sum(request.status == HTTPStatus.TOO_MANY_REQUESTS for request in asked)
            told.send(Heard(len(asked), refused, *((times[0], times[-1]) if times else (0.0, 0.0))))


_LOOKS_EVERY = 0.05


def _note_arrivals(requests: Sequence[object], arrivals: list[float]) -> None:
    """Note when each request came, to a twentieth of a second."""
    while True:
        arrivals += [time.monotonic()] * (len(requests) - len(arrivals))
        time.sleep(_LOOKS_EVERY)


@dataclass
class Figures:
    """What one program took: seconds, seconds of CPU, megabytes at its peak; whether it came to its end; what was heard."""

    wall: float
    cpu: float
    memory: float
    succeeded: bool
    heard: Heard
    said: str = field(repr=False, default="")


class Served(NamedTuple):
    """A world that is served, and a home for what loads it."""

    home: Path
    environment: dict[str, str]
    ask: Callable[[Any], Heard]
    """Tell the server to change so many livestreams; it answers with what it heard since it was last told."""

    def run(self, command: list[str], **variables: str) -> Figures:
        """Run a program on it."""
        self.ask(0)
        with tempfile.TemporaryFile() as log:
            began = time.perf_counter()
            process = subprocess.Popen(
                command, env=os.environ | self.environment | variables, cwd=self.home, stdout=log, stderr=log
            )
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            said = log.read().decode()[-2_000:]
        cpu = usage.ru_utime + usage.ru_stime
        return Figures(wall, cpu, usage.ru_maxrss / 1024, process.returncode == 0, self.ask(0), said)


@contextmanager
def served(of: World) -> Iterator[Served]:
    """Serve a fresh world, with a home that goes with it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, of), daemon=True)
    server.start()

    def ask(order: Any) -> Heard:
        here.send(order)
        heard: Heard = here.recv()
        return heard

    with tempfile.TemporaryDirectory() as directory:
        yield Served(Path(directory), here.recv() | {"LIVEHOUSE_HOME": directory}, ask)
        here.send("stop")
        server.join(10)
        with suppress(ProcessLookupError):
            server.kill()


def commands(name: str, home: Path, first: date, last: date) -> tuple[list[str], list[str]]:
    """A cold load of these days, and the night after."""
    if name == LIVEHOUSE:
        livehouse = str(Path(sys.executable).with_name("livehouse"))
        return [livehouse, "backfill", f"{first}", f"{last}"], [livehouse, "nightly", "--date", f"{last}"]
    script = {SDK: "sdk_loop.py", FLOOR: "floor.py"}.get(name, "dlt_source.py")
    paging = {DLT: ["counted"], DLT_AS_DOCUMENTED: ["documented"]}.get(name, [])
    load = [
        sys.executable,
        "-W",
        "ignore",
        str(PEERS / script),
        str(home / "peer.duckdb"),
        f"{first}",
        f"{last}",
        *paging,
    ]
    return load, load


VARIABLES = {
    LIVEHOUSE: {},
    DLT: {"EXTRACT__WORKERS": "8", "RUNTIME__DLTHUB_TELEMETRY": "false"},
    DLT_AS_DOCUMENTED: {"RUNTIME__DLTHUB_TELEMETRY": "false"},
    SDK: {},
    FLOOR: {},
}
"""What each is told beside the address: dlt's own number of workers is five."""

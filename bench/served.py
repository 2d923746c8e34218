"""A world served from a process of its own, and the programs that load it: livehouse, the alternatives, and the floor."""

import multiprocessing
import os
import platform
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

PEERS = Path(__file__).parent / "peers"
LIVEHOUSE = "livehouse"
DLT, DLT_AS_DOCUMENTED, SDK, FLOOR = "dlt", "dlt as documented", "SDK loop", "floor"


class World(NamedTuple):
    """The contents of each app of the world, the latency in seconds, and the rate limit: requests and seconds, or None."""

    livestreams: int = 2_000
    sessions: int = 12_000
    apps: int = 1
    on_air: int = 5
    days: int = 30
    latency: float = 0.020
    limit: tuple[int, float] | None = None

    @property
    def app_ids(self) -> list[str]:
        """The identifiers of its apps."""
        return [f"app-{number:02}" for number in range(self.apps)]

    @property
    def range(self) -> tuple[date, date]:
        """First and last day."""
        last = datetime.now(UTC).date()
        return last - timedelta(days=self.days - 1), last


class ReceivedRequests(NamedTuple):
    """The number of requests and of 429 responses, and the arrival times of the first and the last request."""

    requests: int
    refused: int
    first: float
    last: float


_NO_REQUESTS = ReceivedRequests(0, 0, 0.0, 0.0)


def serve(channel: Connection, spec: World) -> None:
    """Serve the world. On a number, add a session to that many livestreams and send the received requests, until "stop"."""
    from pipelines.simulator.server import Simulator
    from pipelines.simulator.world import World as Simulated

    now = datetime.now(UTC)
    world = Simulated.seeded(
        7,
        apps=spec.app_ids,
        livestreams=spec.livestreams,
        sessions=spec.sessions,
        days=spec.days,
        now=now,
        on_air=spec.on_air,
        broken=False,
    )
    with Simulator(world, latency=spec.latency, rate_limit=spec.limit) as simulator:
        arrivals: list[float] = []
        threading.Thread(target=_note_arrivals, args=(simulator.requests, arrivals), daemon=True).start()
        channel.send(
            {
                "CLOUDFLARE_API_TOKEN": simulator.token,
                "CLOUDFLARE_ACCOUNT_ID": simulator.account_id,
                "CLOUDFLARE_BASE_URL": simulator.base_url,
                "REALTIMEKIT_APP_ID": ",".join(spec.app_ids),
            }
        )
        begun = 0
        while (message := channel.recv()) != "stop":
            if isinstance(message, int):
                app = spec.app_ids[0]
                for stream in world.apps[app].livestreams[:message]:
                    world.add_session(
                        app, stream.id, created_at=datetime.now(UTC), ingest_seconds=600.0, viewer_seconds=6_000.0
                    )
            time.sleep(2 * _POLL_SECONDS)
            received, times = simulator.requests[begun:], arrivals[begun:]
            begun += len(received)
            refused = sum(request.status == HTTPStatus.TOO_MANY_REQUESTS for request in received)
            channel.send(ReceivedRequests(len(received), refused, *((times[0], times[-1]) if times else (0.0, 0.0))))


_POLL_SECONDS = 0.05


def _note_arrivals(requests: Sequence[object], arrivals: list[float]) -> None:
    """Record the arrival time of each request, to a twentieth of a second."""
    while True:
        arrivals += [time.monotonic()] * (len(requests) - len(arrivals))
        time.sleep(_POLL_SECONDS)


@dataclass
class Measurement:
    """Seconds, CPU seconds and peak megabytes of one program, whether it succeeded, and the received requests."""

    wall: float
    cpu: float
    memory: float
    succeeded: bool
    received: ReceivedRequests
    output: str = field(repr=False, default="")


class Served(NamedTuple):
    """A served world, and a home for the program that loads it."""

    home: Path
    environment: dict[str, str]
    change: Callable[[Any], ReceivedRequests]
    """Change that many livestreams; return the requests since the last call."""

    def run(self, command: list[str], **variables: str) -> Measurement:
        """Run a program against the world."""
        self.change(0)
        found = run_program(command, self.home, self.environment | variables)
        return replace(found, received=self.change(0))


def run_program(command: list[str], home: Path, variables: dict[str, str]) -> Measurement:
    """Run a program in a home. Its modules stay compiled from one run to the next, as those of an installed program do."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile() as log:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=kept | variables, cwd=home, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        output = log.read().decode()[-2_000:]
    cpu = usage.ru_utime + usage.ru_stime
    return Measurement(wall, cpu, usage.ru_maxrss / 1024, process.returncode == 0, _NO_REQUESTS, output)


@contextmanager
def served(spec: World) -> Iterator[Served]:
    """Serve a new world, and create a home for it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there, spec), daemon=True)
    server.start()

    def change(number: Any) -> ReceivedRequests:
        here.send(number)
        received: ReceivedRequests = here.recv()
        return received

    with tempfile.TemporaryDirectory() as directory:
        yield Served(Path(directory), here.recv() | {"LIVEHOUSE_HOME": directory}, change)
        here.send("stop")
        server.join(10)
        with suppress(ProcessLookupError):
            server.kill()


def commands(name: str, home: Path, first: date, last: date) -> tuple[list[str], list[str]]:
    """Return the commands of a cold load of these days and of the next night."""
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


def variables(name: str, connections: int = 8) -> dict[str, str]:
    """Return the environment variables of a program besides the address; the default number of workers of dlt is five."""
    return {
        LIVEHOUSE: {"LIVEHOUSE_CONCURRENCY": f"{connections}"},
        DLT: {"EXTRACT__WORKERS": f"{connections}", "RUNTIME__DLTHUB_TELEMETRY": "false"},
        DLT_AS_DOCUMENTED: {"RUNTIME__DLTHUB_TELEMETRY": "false"},
        FLOOR: {"CONNECTIONS": f"{connections}"},
    }.get(name, {})


def installed_programs() -> list[str]:
    """Return the programs that can run here: the alternatives are in the extras `bench` and `dev`."""
    needed = {DLT: "dlt", DLT_AS_DOCUMENTED: "dlt", SDK: "cloudflare"}
    return [name for name in (LIVEHOUSE, DLT, DLT_AS_DOCUMENTED, SDK, FLOOR) if find_spec(needed.get(name, "duckdb"))]


def measure_import() -> tuple[float, float]:
    """Return the wall and CPU seconds of a bare import of the libraries of a run, which is the unit of its fixed cost."""
    began, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-c", "import dagster, polars, duckdb, httpx"], check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - began, cpu


def describe_measurement() -> str:
    """Return date, machine, versions and command, as a line above a table."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
    machine = f"{os.cpu_count()} cores of {model[1] if model else platform.processor() or platform.machine()}"
    libraries = ("livehouse", "dagster", "duckdb", "polars", "httpx", "dlt", "cloudflare")
    versions = ", ".join(f"{name} {version(name)}" for name in libraries if find_spec(name))
    command = " ".join(["python", *sys.argv])
    return f"{datetime.now(UTC).date()}, {machine}, Python {platform.python_version()}, {versions}, `{command}`"

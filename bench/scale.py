"""The cost of a lakehouse compared to a file: the same account backfilled, and the night after it, by the command line.

`python bench/scale.py [SESSIONS …]` needs the extras `dev` and `lakehouse`. `python bench/scale.py --apps [APPS …]` measures a night
in which nothing changed, by the number of apps and by the distance to PostgreSQL.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.postgres_proxy import postgres_proxy
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import environment_for, small_world
from tests.postgres import Postgres, find_programs, running_postgres

COUNTED = "SELECT count(*) AS n FROM core.livestream_sessions"
DAYS = 30


def livehouse(environment: dict[str, str], *arguments: str) -> tuple[float, str]:
    """How many seconds a command took, and what it output."""
    began = time.monotonic()
    program = [str(Path(sys.executable).parent / "livehouse"), *arguments]
    done = subprocess.run(program, env=os.environ | environment, check=True, capture_output=True, text=True)
    return time.monotonic() - began, done.stdout


def bytes_of(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file() and "dagster" not in file.parts)


def measure(kind: str, sessions: int, place: Path, postgres: Postgres) -> None:
    world = small_world(
        apps=("a", "b", "c", "d"), livestreams=max(5, sessions // 24), sessions=sessions // 4, days=DAYS
    )
    with Simulator(world) as simulator:
        at = {"LIVEHOUSE_CONCURRENCY": "8"}
        if kind == "lake":
            at |= {"LIVEHOUSE_WAREHOUSE": postgres.new_database(), "LIVEHOUSE_DATA_PATH": f"{place / 'files'}"}
        environment = environment_for(simulator, place / "home", **at)
        first, last = f"{world.now.date().fromordinal(world.now.toordinal() - DAYS)}", f"{world.now.date()}"
        cold, _ = livehouse(environment, "backfill", first, last, "--quiet")
        requests = simulator.request_count()
        night, _ = livehouse(environment, "nightly", "--quiet")
        query_seconds, output = livehouse(environment, "sql", COUNTED, "--format", "csv")
        rows = int(output.split()[1])
        print(
            f"| {rows:,} | {kind} | {cold:.1f} | {requests:,} | {night:.1f} | {simulator.request_count() - requests} "
            f"| {query_seconds:.1f} | {bytes_of(place) / 1e6:.0f} |",
            flush=True,
        )


def measure_night(apps: int, place: Path, postgres: Postgres, delay_ms: float | None) -> None:
    """Print a line for a night in which nothing changed, on a file or on a lakehouse at this distance."""
    world = small_world(
        apps=[f"app{number:03}" for number in range(apps)], livestreams=6, sessions=60, days=DAYS, broken=False
    )
    last = world.now.date() - timedelta(days=1)
    nightly = ("nightly", "--date", f"{last}", "--no-catch-up", "--quiet")
    with (
        Simulator(world, rate_limit=None) as simulator,
        postgres_proxy(postgres.directory, delay_ms or 0) as proxy,
    ):
        at = {"LIVEHOUSE_CONCURRENCY": "8"}
        if delay_ms is not None:
            database = postgres.new_database().rpartition("dbname=")[2]
            at["LIVEHOUSE_WAREHOUSE"] = (
                f"ducklake:postgres:host=127.0.0.1 port={proxy.port} user=postgres dbname={database}"
            )
        environment = environment_for(simulator, place / "home", **at)
        livehouse(environment, *nightly)
        statements, requests, before = proxy.statements, simulator.request_count(), os.times()
        seconds, _ = livehouse(environment, *nightly)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        print(
            f"| {apps} | {'file' if delay_ms is None else f'lake, {delay_ms:g} ms'} | {seconds:.1f} | {used:.1f} "
            f"| {simulator.request_count() - requests:,} | {proxy.statements - statements:,} |",
            flush=True,
        )


def measure_apps(counts: Iterable[int], postgres: Postgres) -> None:
    """Print a table of nights by apps and distance."""
    print("| apps | where | night s | CPU s of the run | requests | statements |")
    print("|---|---|---|---|---|---|")
    for apps in counts:
        for delay_ms in (None, 0, 1):
            with tempfile.TemporaryDirectory() as scratch:
                measure_night(apps, Path(scratch), postgres, delay_ms)


if __name__ == "__main__":
    programs = find_programs()
    assert programs, "no PostgreSQL to run"
    if sys.argv[1:2] == ["--apps"]:
        with running_postgres(programs) as server:
            measure_apps(map(int, sys.argv[2:] or ("1", "10", "50")), server)
        sys.exit()
    print("| sessions | where | backfill s | requests | night s | requests | a count s | MB |")
    print("|---|---|---|---|---|---|---|---|")
    with running_postgres(programs) as server:
        for count in map(int, sys.argv[1:] or ("2000", "12000", "48000")):
            for store in ("file", "lake"):
                with tempfile.TemporaryDirectory() as scratch:
                    measure(store, count, Path(scratch), server)

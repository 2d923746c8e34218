"""The peak memory of a backfill, by number of sessions.

The simulator serves a world with a year of sessions from its own process; `livehouse backfill` loads all of it, including
the report. `python bench/memory.py [SESSIONS …]` takes a quarter of an hour.
"""

import multiprocessing
import sys
import tempfile
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.history import livehouse
from pipelines.clock import utc_now, yesterday
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.pipeline_runner import environment_for

APP, LIVESTREAMS, DAYS = "aula", 2_000, 365


def serve(channel: Connection, sessions: int, home: Path) -> None:
    """Serve the world until a message arrives."""
    world = World.seeded(
        7, apps=[APP], livestreams=LIVESTREAMS, sessions=sessions, days=DAYS, now=utc_now(), broken=False
    )
    with Simulator(world, rate_limit=None) as simulator:
        channel.send(environment_for(simulator, home))
        channel.recv()


def peak_megabytes(sessions: int) -> tuple[float, float]:
    """Seconds and peak megabytes of loading so many sessions."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    with tempfile.TemporaryDirectory() as home:
        server = context.Process(target=serve, args=(there, sessions, Path(home)), daemon=True)
        server.start()
        environment: dict[str, str] = here.recv()
        last = yesterday()
        try:
            return livehouse(environment, "backfill", f"{last - timedelta(days=DAYS - 1)}", f"{last}")
        finally:
            here.send("stop")
            server.join(10)


if __name__ == "__main__":
    print("| sessions | seconds | peak MB |\n|---|---|---|")
    for count in map(int, sys.argv[1:] or ("500000", "2000000")):
        seconds, peak = peak_megabytes(count)
        print(f"| {count:,} | {seconds:.0f} | {peak:.0f} |", flush=True)

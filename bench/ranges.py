"""The cost of a year in one run compared to one day with as many sessions: typed tables, marts and publishing.

Two accounts with the same livestreams and sessions, one within a day and one over 365 days, are loaded; then
`livehouse rebuild` rebuilds every table from raw. `python bench/ranges.py [SESSIONS]`
"""

import statistics
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.history import livehouse, steps_of_last_run
from pipelines.clock import utc_now, yesterday
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.pipeline_runner import environment_for

APP, LIVESTREAMS, ROUNDS = "aula", 2_000, 3


def seconds(days: int, sessions: int, home: Path) -> tuple[float, float]:
    """Seconds of the steps of a rebuild of so many days, and of the whole command; medians."""
    last = yesterday()
    first = last - timedelta(days=days - 1)
    world = World.seeded(
        7, apps=[APP], livestreams=LIVESTREAMS, sessions=sessions, days=days, now=utc_now(), broken=False
    )
    with Simulator(world, rate_limit=None) as simulator:
        environment = environment_for(simulator, home)
        livehouse(environment, "backfill", f"{first}", f"{last}")
        rounds = []
        for _ in range(ROUNDS):
            whole, _ = livehouse(environment, "rebuild", f"{first}", f"{last}")
            rounds.append((sum(steps_of_last_run(home).values()), whole))
    return statistics.median(steps for steps, _ in rounds), statistics.median(whole for _, whole in rounds)


if __name__ == "__main__":
    sessions = int(sys.argv[1]) if sys.argv[1:] else 12_000
    print(f"{sessions:,} sessions of {LIVESTREAMS:,} livestreams, medians of {ROUNDS} rebuilds")
    print("| days | steps s | whole command s |\n|---|---|---|")
    measured = []
    for days in (1, 365):
        with tempfile.TemporaryDirectory() as directory:
            measured.append(seconds(days, sessions, Path(directory)))
        print(f"| {days} | {measured[-1][0]:.1f} | {measured[-1][1]:.1f} |", flush=True)
    (one_day, one_whole), (year, year_whole) = measured
    print(f"| ratio | {year / one_day:.2f} | {year_whole / one_whole:.2f} |")

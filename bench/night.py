"""The time of a night without changes by step: medians of five nights after a cold load, in seconds.

2,000 livestreams and 12,000 sessions behind 20 ms of latency, no limit on requests. The steps are those that Dagster
records; the time between them is Dagster's. `python bench/night.py`
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from dagster import DagsterInstance

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.served import LIVEHOUSE, World, commands, served

NIGHTS = 5
UNLIMITED = {"LIVEHOUSE_REQUESTS_PER_SECOND": "0"}
PARTS = {
    "asking, and landing raw": ("raw__",),
    "typed tables": ("core__",),
    "checks": ("facts_hold", "marts_hold"),
    "marts": ("marts__",),
    "the copy for readers": ("publish__warehouse",),
    "the report": ("publish__report",),
}


def imports() -> float:
    """Seconds until the interpreter has imported what a run needs."""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import pipelines.cli.jobs, pipelines.definitions"], check=True)
    return time.monotonic() - began


def parts(home: Path, began: float, ended: float) -> Iterator[tuple[str, float]]:
    """Seconds of each part of the last run, of a program that ran from one Unix time to another."""
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    with DagsterInstance.get() as instance:
        [record] = instance.get_run_records(limit=1)
        steps = instance.get_run_step_stats(record.dagster_run.run_id)
    taken = {step.step_key: (step.end_time or 0) - (step.start_time or 0) for step in steps}
    started, finished = record.start_time or 0, record.end_time or 0
    yield "interpreter, imports, Dagster's history", started - began
    for part, names in PARTS.items():
        yield part, sum(seconds for step, seconds in taken.items() if step.startswith(names))
    yield "Dagster, between steps", finished - started - sum(taken.values())
    yield "summary, end", ended - finished
    yield "whole", ended - began


def main() -> None:
    """Load, then the same night again and again."""
    world = World()
    found: dict[str, list[float]] = {}
    with served(world) as run:
        cold, night = commands(LIVEHOUSE, run.home, *world.range)
        run.run(cold, **UNLIMITED)
        for _ in range(NIGHTS):
            began = time.time()
            figures = run.run(night, **UNLIMITED)
            assert figures.succeeded, figures.output
            for part, seconds in parts(run.home, began, began + figures.wall):
                found.setdefault(part, []).append(seconds)
            found.setdefault("of these, imports", []).append(imports())
            found.setdefault("requests", []).append(figures.received.requests)
    print(f"{datetime.now(UTC).date()}")
    for part, values in found.items():
        print(f"| {part} | {statistics.median(values):.2f} |")


if __name__ == "__main__":
    main()

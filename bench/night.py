"""The time of a night without changes, split into its parts: medians of five nights after a cold load, in seconds.

2,000 livestreams and 12,000 sessions behind 20 ms of latency, no limit on requests. The steps are those that Dagster
records; the time between them is Dagster's. `python bench/night.py [--nights N] [--livestreams N] [--connections N]`
"""

import argparse
import os
import re
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from dagster import DagsterInstance

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.served import LIVEHOUSE, World, commands, describe_measurement, measure_import, served, variables

PARTS = {
    "fetching, landing raw": "raw__",
    "core tables": "core__",
    "checks": "(facts|marts)_hold",
    "marts": "marts$",
    "publishing": "publish__warehouse",
    "report": "publish__report",
}
"""Patterns of the names of steps, by part."""


def measure_parts(home: Path, began: float, ended: float) -> Iterator[tuple[str, float]]:
    """Yield the seconds of each part of the last run, of a program that ran from one Unix time to another."""
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    with DagsterInstance.get() as instance:
        [record] = instance.get_run_records(limit=1)
        steps = instance.get_run_step_stats(record.dagster_run.run_id)
    taken = {step.step_key: (step.end_time or 0) - (step.start_time or 0) for step in steps}
    started, finished = record.start_time or 0, record.end_time or 0
    yield "interpreter, imports, opening Dagster's history", started - began
    for part, pattern in PARTS.items():
        yield part, sum(seconds for step, seconds in taken.items() if re.match(pattern, step))
    yield "Dagster, between the steps", finished - started - sum(taken.values())
    yield "summary, exit", ended - finished


def main() -> None:
    """Load, then the same night again and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=5)
    parser.add_argument("--livestreams", type=int, default=World().livestreams)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    world = World(livestreams=options.livestreams, sessions=6 * options.livestreams)
    environment = variables(LIVEHOUSE, options.connections) | {"LIVEHOUSE_REQUESTS_PER_SECOND": "0"}
    found: dict[str, list[float]] = {}
    with served(world) as run:
        cold, night = commands(LIVEHOUSE, run.home, *world.range)
        run.run(cold, **environment)
        for _ in range(options.nights):
            began = time.time()
            figures = run.run(night, **environment)
            assert figures.succeeded, figures.output
            parts = dict(measure_parts(run.home, began, began + figures.wall))
            bare_wall, bare_cpu = measure_import()
            parts |= {"**whole night**": figures.wall, "CPU of the whole night": figures.cpu}
            parts |= {"bare import of dagster, polars, duckdb, httpx": bare_wall, "CPU of the bare import": bare_cpu}
            parts |= {"**whole night ÷ bare import**": figures.wall / bare_wall, "CPU ÷ CPU": figures.cpu / bare_cpu}
            parts |= {"peak MB": figures.memory, "requests": figures.received.requests}
            for part, value in parts.items():
                found.setdefault(part, []).append(value)
    print(f"{describe_measurement()}, medians of {options.nights}\n")
    print("| part of a night without changes | seconds |\n|---|---|")
    for part, values in found.items():
        print(f"| {part} | {statistics.median(values):.2f} |")


if __name__ == "__main__":
    main()

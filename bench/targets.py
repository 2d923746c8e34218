"""Every target of performance beside its measurement, as one table, in about a quarter of an hour on a quiet machine.

A cold load, a night without changes, further apps and the demo, each in its own processes and alternating with its unit: the floor,
dlt (if it is installed), or a bare import of Dagster, polars, DuckDB and httpx. 20 ms of latency, 16 connections, no limit on
requests, medians. `python bench/targets.py [--rounds N] [--apps N]`
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.apps import CONNECTIONS, measure_nights
from bench.cold_load import measure_loads
from bench.served import (
    DLT,
    FLOOR,
    LIVEHOUSE,
    Measurement,
    World,
    commands,
    describe_measurement,
    measure_import,
    run_program,
    served,
    variables,
)

Row = tuple[str, float, str]
"""The name of a measurement, its value, and its target."""


def compare_cold_loads(rounds: int) -> Iterator[Row]:
    """Yield ratios of cold loads."""
    names = [LIVEHOUSE, FLOOR, *([DLT] if find_spec("dlt") else [])]
    found: dict[str, list[Measurement]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            found[name].append(measure_loads(name, World(), CONNECTIONS)[0])
    wall, cpu, memory = (
        {name: statistics.median(getattr(it, figure) for it in of_name) for name, of_name in found.items()}
        for figure in ("wall", "cpu", "memory")
    )
    yield "cold load, wall ÷ floor", wall[LIVEHOUSE] / wall[FLOOR], "≤ 1.6"
    yield "cold load, CPU ÷ floor", cpu[LIVEHOUSE] / cpu[FLOOR], "≤ 2.2"
    if DLT in found:
        yield "cold load, dlt ÷ livehouse, wall", wall[DLT] / wall[LIVEHOUSE], "≥ 2.3"
        yield "cold load, peak memory ÷ dlt's", memory[LIVEHOUSE] / memory[DLT], "≤ 0.45"


def compare_nights(rounds: int) -> Iterator[Row]:
    """Yield a night without changes in units of a bare import."""
    world = World()
    environment = variables(LIVEHOUSE, CONNECTIONS) | {"LIVEHOUSE_REQUESTS_PER_SECOND": "0"}
    walls, cpus = [], []
    with served(world) as run:
        cold, night = commands(LIVEHOUSE, run.home, *world.range)
        for command in (cold, *[night] * rounds):
            measured = run.run(command, **environment)
            if not measured.succeeded:
                sys.exit(measured.output)
            wall, cpu = measure_import()
            walls.append(measured.wall / wall)
            cpus.append(measured.cpu / cpu)
    yield "night without changes, wall ÷ bare import", statistics.median(walls[1:]), "≤ 2.5"
    yield "night without changes, CPU ÷ bare import", statistics.median(cpus[1:]), ""


def measure_apps(apps: int, nights: int) -> Iterator[Row]:
    """Yield the CPU seconds of a night for each app beyond the first."""
    cpu = [
        statistics.median(night.cpu for night in measure_nights(world, nights, None)[1])
        for world in (World(apps=number, livestreams=20, sessions=120, on_air=0) for number in (1, apps))
    ]
    yield f"{apps} apps, nothing new, CPU s per further app", (cpu[1] - cpu[0]) / (apps - 1), "≤ 0.12"


def measure_demo(rounds: int) -> Iterator[Row]:
    """Yield the seconds of `livehouse demo` in a new home."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as directory:
            command = commands(LIVEHOUSE, Path(directory), *World().range)[0][0]
            found.append(run_program([command, "demo"], Path(directory), {"LIVEHOUSE_HOME": directory}))
    yield "demo, wall s", statistics.median(it.wall for it in found), "≤ 4"
    yield "demo, CPU s", statistics.median(it.cpu for it in found), ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--apps", type=int, default=50)
    options = parser.parse_args()
    print(f"{describe_measurement()}, medians of {options.rounds}\n")
    print("| measured | value | target |\n|---|---|---|", flush=True)
    for rows in (
        compare_nights(options.rounds),
        measure_demo(options.rounds),
        compare_cold_loads(options.rounds),
        measure_apps(options.apps, options.rounds),
    ):
        for measured, value, target in rows:
            print(f"| {measured} | {value:.2f} | {target} |", flush=True)


if __name__ == "__main__":
    main()

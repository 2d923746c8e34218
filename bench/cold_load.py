"""The same world loaded into DuckDB by livehouse, by the alternatives that are installed, and by the floor.

2,000 livestreams and 12,000 sessions over 30 days behind 20 ms of latency, no limit on requests, a fresh world for each: a
cold load with 8 and with 16 connections, then the night after with 1 % of the livestreams changed. Wall, CPU and peak memory
are the loading process's; requests are counted by the server. `python bench/cold_load.py`, with `pip install -e '.[bench]'`.
"""

import argparse
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.served import (
    FLOOR,
    LIVEHOUSE,
    Measurement,
    World,
    commands,
    describe_measurement,
    installed_programs,
    served,
    variables,
)


def measure_loads(name: str, world: World, connections: int) -> tuple[Measurement, Measurement, int]:
    """Load a fresh world with a program. Return its cold load, the night after, and the number of sessions that it loaded."""
    with served(world) as run:
        found = []
        for command in commands(name, run.home, *world.range):
            found.append(run.run(command, LIVEHOUSE_REQUESTS_PER_SECOND="0", **variables(name, connections)))
            if not found[-1].succeeded:
                sys.exit(f"{command} failed: {found[-1].output}")
            run.change(world.livestreams // 100)
        return found[0], found[1], sessions_in(run.home)


def sessions_in(home: Path) -> int:
    """Sessions in the database that it made."""
    path, table = home / "warehouse.duckdb", "livestream_sessions"
    if not path.exists():
        path, table = home / "peer.duckdb", "sessions"
    with duckdb.connect(path, read_only=True) as connection:
        [[schema]] = connection.execute(
            "SELECT schema_name FROM duckdb_tables() WHERE table_name = ? LIMIT 1", [table]
        ).fetchall()
        [[held]] = connection.execute(f"SELECT count(*) FROM {schema}.{table}").fetchall()
        return int(held)


def print_rows(load: str, by_name: dict[str, list[Measurement]]) -> None:
    """Print the medians as rows of a table for docs/explanation/benchmarks.md, with the ratios to the floor."""
    medians = {
        name: [statistics.median(value) for value in zip(*((it.wall, it.cpu, it.memory) for it in found), strict=True)]
        for name, found in by_name.items()
    }
    floor = medians[FLOOR]
    for name, (wall, cpu, memory) in medians.items():
        requests = statistics.median(it.received.requests for it in by_name[name])
        cells = (load, name, f"{wall:.1f}", f"{cpu:.1f}", f"{memory:.0f}", f"{requests:,.0f}")
        print(f"| {' | '.join(cells)} | {wall / floor[0]:.2f} | {cpu / floor[1]:.2f} |", flush=True)


def main() -> None:
    """Alternate between the programs, so that other load on the machine affects all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--livestreams", type=int, default=World().livestreams)
    parser.add_argument("--sessions", type=int, default=World().sessions)
    parser.add_argument("--programs", nargs="+", default=installed_programs())
    options = parser.parse_args()
    world = World(livestreams=options.livestreams, sessions=options.sessions)
    names = dict.fromkeys([*options.programs, LIVEHOUSE, FLOOR])
    print(f"{describe_measurement()}, medians of {options.rounds}\n")
    print(
        "| load | loaded by | wall s | CPU s | peak MB | requests | wall ÷ floor | CPU ÷ floor |\n" + "|---" * 8 + "|"
    )
    for connections in options.connections:
        cold: dict[str, list[Measurement]] = {name: [] for name in names}
        night: dict[str, list[Measurement]] = {name: [] for name in names}
        for number in range(options.rounds):
            for name in names:
                first, second, held = measure_loads(name, world, connections)
                cold[name].append(first)
                night[name].append(second)
                record: dict[str, Any] = {"round": number, "connections": connections, "name": name, "sessions": held}
                print(
                    json.dumps(record | {"cold": asdict(first), "night": asdict(second)}), file=sys.stderr, flush=True
                )
        print_rows(f"cold, {connections} connections", cold)
        print_rows(f"the night after, {connections} connections", night)


if __name__ == "__main__":
    main()

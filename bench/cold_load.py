"""The same world loaded into DuckDB by livehouse, by the alternatives, and by the floor.

2,000 livestreams and 12,000 sessions over 30 days behind 20 ms of latency, no limit on requests, a fresh world for each: a
cold load, then the night after with 1 % of the livestreams changed. Wall, CPU and peak memory are the loading process's;
requests are counted by the server. `python bench/cold_load.py [ROUNDS]`, with `pip install -e '.[bench]'`.
"""

import json
import statistics
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.served import DLT, DLT_AS_DOCUMENTED, FLOOR, LIVEHOUSE, SDK, VARIABLES, Measurement, World, commands, served

CHANGED = 20
NAMES = (LIVEHOUSE, DLT, DLT_AS_DOCUMENTED, SDK, FLOOR)


def one(name: str) -> tuple[Measurement, Measurement, int]:
    """Load a fresh world by this one: cold, the night after, and how many sessions it then holds."""
    world = World()
    with served(world) as run:
        found = []
        for command in commands(name, run.home, *world.range):
            found.append(run.run(command, LIVEHOUSE_REQUESTS_PER_SECOND="0", **VARIABLES[name]))
            if not found[-1].succeeded:
                sys.exit(f"{command} failed: {found[-1].output}")
            run.change(CHANGED)
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


def table(title: str, by_name: dict[str, list[Measurement]]) -> None:
    """Print the medians as a table for docs/benchmarks.md."""
    print(f"\n| {title} | wall s | CPU s | peak MB | requests | wall ÷ livehouse |\n|---|---|---|---|---|---|")
    walls = {name: statistics.median(it.wall for it in found) for name, found in by_name.items()}
    for name, found in by_name.items():
        cpu, memory = statistics.median(it.cpu for it in found), statistics.median(it.memory for it in found)
        requests = statistics.median(it.received.requests for it in found)
        ratio = walls[name] / walls[LIVEHOUSE]
        print(f"| {name} | {walls[name]:.1f} | {cpu:.1f} | {memory:.0f} | {requests:,.0f} | {ratio:.2f} |")


def main(rounds: int) -> None:
    """Alternate between the programs, so that other load on the machine affects all of them."""
    cold: dict[str, list[Measurement]] = {name: [] for name in NAMES}
    night: dict[str, list[Measurement]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name in NAMES:
            first, second, held = one(name)
            cold[name].append(first)
            night[name].append(second)
            record: dict[str, Any] = {"round": number, "name": name, "sessions": held}
            print(json.dumps(record | {"cold": asdict(first), "night": asdict(second)}), file=sys.stderr, flush=True)
    named = ("livehouse", "dlt", "cloudflare", "httpx", "duckdb", "dagster")
    versions = ", ".join(f"{name} {version(name)}" for name in named)
    print(f"{datetime.now(UTC).date()}, {rounds} rounds, medians. {versions}")
    table("cold load", cold)
    table("the night after", night)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

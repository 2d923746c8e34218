"""The same world loaded into DuckDB by livehouse, by what a user would pick instead, and by the floor.

2,000 livestreams and 12,000 sessions over 30 days behind 20 ms of latency, a fresh world for each: a cold load, then the
night after with 1 % of the livestreams changed. Wall, CPU and peak memory are the loading process's; requests are counted by the
server. `python bench/cold_load.py [ROUNDS]`, with `pip install -e '.[bench]'`.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import duckdb

LIVESTREAMS, SESSIONS, DAYS, LATENCY_SECONDS, CHANGED = 2_000, 12_000, 30, 0.020, 20
APP = "aula"
PEERS = Path(__file__).parent / "peers"
NAMES = ("livehouse", "dlt", "SDK loop", "floor")
Figures = dict[str, float]


def _commands(home: Path, first: date, last: date) -> dict[str, tuple[list[str], list[str]]]:
    """By name: the cold load, and the night after."""

    def peer(script: str) -> tuple[list[str], list[str]]:
        cold = [sys.executable, str(PEERS / script), str(home / "peer.duckdb"), f"{first}", f"{last}"]
        return cold, cold

    livehouse = [str(Path(sys.executable).with_name("livehouse"))]
    return {
        "livehouse": ([*livehouse, "backfill", f"{first}", f"{last}"], [*livehouse, "nightly", "--date", f"{last}"]),
        "dlt": peer("dlt_source.py"),
        "SDK loop": peer("sdk_loop.py"),
        "floor": peer("floor.py"),
    }


def serve(told: Connection) -> None:
    """Serve the world from a process of its own; change 1 % of it, and count, when told to."""
    from pipelines.simulator.server import Simulator  # noqa: PLC0415 - not the orchestrator's business
    from pipelines.simulator.world import World  # noqa: PLC0415

    now = datetime.now(UTC)
    world = World.seeded(
        7, apps=[APP], livestreams=LIVESTREAMS, sessions=SESSIONS, days=DAYS, now=now, on_air=5, broken=False
    )
    with Simulator(world, latency=LATENCY_SECONDS, rate_limit=None) as simulator:
        told.send(
            {
                "CLOUDFLARE_API_TOKEN": simulator.token,
                "CLOUDFLARE_ACCOUNT_ID": simulator.account_id,
                "CLOUDFLARE_BASE_URL": simulator.base_url,
                "REALTIMEKIT_APP_ID": APP,
            }
        )
        while (order := told.recv()) != "stop":
            if order == "change":
                for stream in world.apps[APP].livestreams[:CHANGED]:
                    world.add_session(
                        APP, stream.id, created_at=datetime.now(UTC), ingest_seconds=600.0, viewer_seconds=6_000.0
                    )
            told.send(simulator.count())


def measured(command: list[str], environment: dict[str, str], ask: Callable[[str], int]) -> Figures:
    before, started = ask("count"), time.perf_counter()
    with Path(environment["BENCH_LOG"]).open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=environment["LIVEHOUSE_HOME"], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed: {Path(environment['BENCH_LOG']).read_text()[-2000:]}")
    return {
        "wall": time.perf_counter() - started,
        "cpu": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss / 1024,
        "requests": ask("count") - before,
    }


def one(name: str) -> tuple[Figures, Figures, int]:
    """Load a fresh world by this one: cold, the night after, and how many sessions it then holds."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()

    def ask(order: str) -> int:
        here.send(order)
        return int(here.recv())

    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        settings: dict[str, str] = here.recv()
        others = {
            "LIVEHOUSE_HOME": str(home),
            "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
            "BENCH_LOG": str(home / "log"),
            "EXTRACT__WORKERS": "8",
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        last = datetime.now(UTC).date()
        cold, night = _commands(home, last - timedelta(days=DAYS - 1), last)[name]
        environment = os.environ | settings | others
        first_figures = measured(cold, environment, ask)
        ask("change")
        second_figures = measured(night, environment, ask)
        held = sessions_in(home)
        here.send("stop")
        server.join(10)
        with suppress(ProcessLookupError):
            server.kill()
    return first_figures, second_figures, held


def sessions_in(home: Path) -> int:
    path = home / "warehouse.duckdb"
    table = "core.livestream_sessions"
    if not path.exists():
        path = home / "peer.duckdb"
        table = "sessions"
    with duckdb.connect(path, read_only=True) as connection:
        [[schema]] = connection.execute(
            "SELECT schema_name FROM duckdb_tables() WHERE table_name = ? LIMIT 1", [table.split(".")[-1]]
        ).fetchall()
        [[held]] = connection.execute(f"SELECT count(*) FROM {schema}.{table.split('.')[-1]}").fetchall()
        return int(held)


def median(found: list[Figures], figure: str) -> float:
    return statistics.median(figures[figure] for figures in found)


def table(title: str, by_name: dict[str, list[Figures]]) -> None:
    print(f"\n| {title} | wall s | CPU s | peak MB | requests | wall ÷ livehouse |\n|---|---|---|---|---|---|")
    for name, found in by_name.items():
        ratio = median(found, "wall") / median(by_name["livehouse"], "wall")
        cells = (f"{median(found, 'wall'):.1f}", f"{median(found, 'cpu'):.1f}", f"{median(found, 'memory'):.0f}")
        print(f"| {name} | {' | '.join(cells)} | {median(found, 'requests'):,.0f} | {ratio:.2f} |")


def main(rounds: int) -> None:
    cold: dict[str, list[Figures]] = {name: [] for name in NAMES}
    night: dict[str, list[Figures]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name in NAMES:
            first, second, held = one(name)
            cold[name].append(first)
            night[name].append(second)
            said: dict[str, Any] = {"round": number, "name": name, "cold": first, "night": second, "sessions": held}
            print(json.dumps(said), file=sys.stderr, flush=True)
    named = ("livehouse", "dlt", "cloudflare", "httpx", "duckdb", "dagster")
    versions = ", ".join(f"{name} {version(name)}" for name in named)
    print(f"{datetime.now(UTC).date()}, {rounds} rounds, medians. {versions}")
    table("cold load", cold)
    table("the night after", night)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)

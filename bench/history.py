"""The cost of already loaded days for a night: the same night on a small warehouse and on one with years of data.

A simulated account is loaded; then sessions of earlier years are added to raw and core, as if nightly runs had loaded them.
The next night, with 1 % of the livestreams changed, is measured: wall time without publishing, which is proportional to
size, and peak memory. Then the slowest query that sums every measure of a mart by app and month.
`python bench/history.py [--lake] [SESSIONS …]`; with `--lake`, on a lakehouse with a PostgreSQL of its own.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

from dagster import DagsterInstance

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.apps import optional_postgres
from pipelines.clock import utc_now, yesterday
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from pipelines.storage.warehouse import Warehouse, open_warehouse
from tests.pipeline_runner import environment_for

APP, LIVESTREAMS, CHANGED, YEARS, NIGHTS = "aula", 500, 5, 3, 3
LAST = yesterday()
EARLIER = LAST - timedelta(days=365 * YEARS + 30)

SESSION = """
    SELECT n, '{app}' AS app_id, md5(concat('session', n))::UUID::VARCHAR AS session_id,
        $first::DATE + (n * {days} // {sessions})::INTEGER AS day,
        md5(concat('stream', n % 20000))::UUID::VARCHAR AS livestream_id,
        day + to_seconds((n * 7919) % 80000) AS created_at, created_at + INTERVAL 2 SECOND AS invoked_at,
        created_at + INTERVAL 9 SECOND AS started_at, started_at + to_seconds(1200 + n % 3600) AS stopped_at,
        stopped_at AS updated_at, 1200.0 + n % 3600 AS ingest_seconds, ingest_seconds * (n % 97) AS viewer_seconds,
        NULL::VARCHAR AS err_message, false AS is_live, day + INTERVAL 26 HOUR AS fetched_at
    FROM range({begin}, {end}) AS numbers (n)
"""
RAW = """
    INSERT INTO raw.livestream_sessions BY NAME
    SELECT app_id, session_id, livestream_id, day, fetched_at AS first_fetched_at, fetched_at,
        'history' AS run_id, fetched_at AS changed_at, 'history' AS changed_run_id, false AS days_differ, n AS digest,
        json_object('created_at', created_at, 'err_message', NULL, 'id', session_id, 'ingest_seconds', ingest_seconds,
            'invoked_time', invoked_at, 'livestream_id', livestream_id, 'started_time', started_at,
            'stopped_time', stopped_at, 'updated_at', updated_at, 'viewer_seconds', viewer_seconds) AS payload
    FROM ({select})
"""
LEDGER = """
    INSERT INTO ops.days BY NAME
    SELECT 'core.livestream_sessions' AS table_name, app_id, day, count(*) AS row_count, true AS is_known,
        max(fetched_at) AS loaded_at, 'history' AS run_id
    FROM core.livestream_sessions WHERE day < $end GROUP BY app_id, day
"""
AT_ONCE = 500_000


def put_history(warehouse: Warehouse, sessions: int) -> None:
    """Sessions of earlier days, in the order in which nights land them."""
    days = 365 * YEARS
    for begin in range(0, sessions, AT_ONCE):
        select = SESSION.format(app=APP, days=days, sessions=sessions, begin=begin, end=min(begin + AT_ONCE, sessions))
        with warehouse.open_raw() as connection:
            connection.execute(RAW.format(select=select), {"first": EARLIER})
        with warehouse.open_working() as connection:
            connection.execute(
                f"INSERT INTO core.livestream_sessions BY NAME SELECT * EXCLUDE (n) FROM ({select})", {"first": EARLIER}
            )
    with warehouse.open_working() as connection:
        connection.execute(LEDGER, {"end": EARLIER + timedelta(days=days)})
        connection.execute("DELETE FROM ops.mart_builds")  # so that the next night builds them whole


def livehouse(environment: dict[str, str], *arguments: str) -> tuple[float, float]:
    """Seconds and peak megabytes of a command."""
    began = time.monotonic()
    program = [str(Path(sys.executable).parent / "livehouse"), *arguments, "--quiet"]
    process = subprocess.Popen(program, env=os.environ | environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, arguments
    return time.monotonic() - began, usage.ru_maxrss / 1024


def steps_of_last_run(home: Path) -> dict[str, float]:
    """Seconds of each step."""
    os.environ["DAGSTER_HOME"] = str(home / "dagster")
    with DagsterInstance.get() as instance:
        [run] = instance.get_runs(limit=1)
        stats = instance.get_run_step_stats(run.run_id)
    return {stat.step_key: (stat.end_time or 0) - (stat.start_time or 0) for stat in stats}


def slowest_query(warehouse: Warehouse) -> tuple[float, str]:
    """Seconds and name of the mart whose figures take longest to sum, each on a connection of its own."""
    taken = []
    for mart in find_marts():
        with warehouse.open_published() as connection:
            columns = connection.execute(f"DESCRIBE {mart.full_name}").fetchall()
            sums = ", ".join(f"sum({name})" for name, kind, *_ in columns if kind in ("DOUBLE", "BIGINT", "HUGEINT"))
            grouped = f"SELECT app_id, date_trunc('month', {mart.period}) AS month, count(*), {sums}"
            began = time.monotonic()
            connection.execute(f"{grouped} FROM {mart.full_name} GROUP BY ALL ORDER BY ALL").fetchall()
            taken.append((time.monotonic() - began, mart.name))
    return max(taken)


def measure(sessions: int, home: Path, **at: str) -> None:
    world = World.seeded(7, apps=[APP], livestreams=LIVESTREAMS, sessions=3_000, days=30, now=utc_now(), broken=False)
    with Simulator(world) as simulator:
        environment = environment_for(simulator, home, LIVEHOUSE_START_DATE=f"{date(2022, 1, 1)}", **at)
        warehouse = open_warehouse(Settings(**environment))  # type: ignore[arg-type]  # read by alias
        livehouse(environment, "backfill", f"{LAST - timedelta(days=29)}", f"{LAST}")
        put_history(warehouse, sessions)
        livehouse(environment, "nightly")  # builds the marts of what was put there
        nights = []
        for _ in range(NIGHTS):
            for stream in world.apps[APP].livestreams[:CHANGED]:
                world.add_session(APP, stream.id, created_at=utc_now(), ingest_seconds=600.0, viewer_seconds=6_000.0)
            seconds, peak = livehouse(environment, "nightly")
            steps = steps_of_last_run(home)
            nights.append((seconds - steps["publish__warehouse"], seconds, peak, steps))
        query, of_mart = slowest_query(warehouse)
        rest, whole, peak, steps = sorted(nights, key=lambda night: night[0])[NIGHTS // 2]
    slowest = sorted(steps.items(), key=lambda step: -step[1])[:6]
    described = ", ".join(f"{name} {seconds:.1f}" for name, seconds in slowest)
    print(
        f"| {sessions:,} | {rest:.1f} | {whole - rest:.1f} | {peak:.0f} | {query:.2f} ({of_mart}) | {described} |",
        flush=True,
    )


if __name__ == "__main__":
    print(
        "| sessions landed before | night without publishing s | publishing s | peak MB | query s | slowest steps s |"
    )
    print("|---|---|---|---|---|---|")
    counts = [int(argument) for argument in sys.argv[1:] if argument != "--lake"] or [100_000, 10_000_000]
    with optional_postgres(wanted="--lake" in sys.argv) as server:
        for count in counts:
            with tempfile.TemporaryDirectory() as directory:
                measure(count, Path(directory), **({"LIVEHOUSE_WAREHOUSE": server.new_database()} if server else {}))

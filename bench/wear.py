"""The number of files of a lakehouse after a year, after thirty nights, and after the weekly maintenance.

The year is one backfill of four apps; 1 % of the livestreams have a session in each later night. The maintenance runs twice:
the second run removes the files that the first replaced. `python bench/wear.py [SESSIONS]` needs the extras `dev` and
`lakehouse`.
"""

import sys
import tempfile
from datetime import datetime, time, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.scale import livehouse
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.pipeline_runner import environment_for, small_world
from tests.postgres import Postgres, find_programs, running_postgres

APPS, DAYS, NIGHTS = ("a", "b", "c", "d"), 365, 30
QUESTION = """
    SELECT app_id, date_trunc('month', day) AS month, count(*), sum(viewer_seconds)
    FROM core.livestream_sessions GROUP BY ALL
"""


def counted(when: str, seconds: float, environment: dict[str, str], place: Path, postgres: Postgres) -> None:
    """Print a line: files and megabytes on disk, those that count now, the catalog, and what a question takes."""
    database = environment["LIVEHOUSE_WAREHOUSE"].rpartition("dbname=")[2].split()[0]
    [[live, live_bytes]] = postgres.execute(
        "SELECT count(*), sum(file_size_bytes)::BIGINT FROM ducklake_data_file WHERE end_snapshot IS NULL", database
    )
    [[deletes]] = postgres.execute("SELECT count(*) FROM ducklake_delete_file WHERE end_snapshot IS NULL", database)
    [[catalog]] = postgres.execute("SELECT pg_database_size(current_database())", database)
    on_disk = [file.stat().st_size for file in (place / "files").rglob("*.parquet")]
    question = min(livehouse(environment, "sql", QUESTION, "--format", "csv")[0] for _ in range(3))
    print(
        f"| {when} | {seconds:.0f} | {len(on_disk):,} | {sum(on_disk) / 1e6:.0f} | {live:,} | {live_bytes / 1e6:.0f} "
        f"| {deletes:,} | {catalog / 1e6:.0f} | {question:.1f} |",
        flush=True,
    )


def night(world: World, day: datetime) -> None:
    """Add a session to 1 % of the livestreams."""
    for app_id in APPS:
        for stream in world.apps[app_id].livestreams[::100]:
            world.add_session(app_id, stream.id, created_at=day, ingest_seconds=600.0, viewer_seconds=6_000.0)


def main(sessions: int) -> None:
    programs = find_programs()
    assert programs, "no PostgreSQL that we may run"
    world = small_world(apps=APPS, livestreams=sessions // 24, sessions=sessions // len(APPS), days=DAYS, broken=False)
    print("| after | s | files | MB | files that count | MB | delete files | catalog MB | a question s |")
    print("|---|---|---|---|---|---|---|---|---|")
    with (
        running_postgres(programs) as server,
        tempfile.TemporaryDirectory() as scratch,
        Simulator(world, rate_limit=None) as simulator,
    ):
        place = Path(scratch)
        at = {"LIVEHOUSE_WAREHOUSE": server.new_database(), "LIVEHOUSE_DATA_PATH": f"{place / 'files'}"}
        environment = environment_for(simulator, place / "home", **at, LIVEHOUSE_CONCURRENCY="8")
        last = world.now.date()
        first = last - timedelta(days=DAYS - 1)
        took, _ = livehouse(environment, "backfill", f"{first}", f"{last}", "--quiet")
        counted("a year in one backfill", took, environment, place, server)
        nights = 0.0
        for day in (last - timedelta(days=NIGHTS - number) for number in range(NIGHTS)):
            night(world, datetime.combine(day, time(12)))
            nights += livehouse(environment, "nightly", "--date", f"{day}", "--quiet")[0]
        counted(f"{NIGHTS} nights", nights, environment, place, server)
        for which in ("upkeep", "the next"):
            took, _ = livehouse(environment, "upkeep", "--keep-days", "0")
            counted(which, took, environment, place, server)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 24_000)

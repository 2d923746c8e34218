"""The size of a year of observations: 50 live streams without a break, polled every minute.

Each simulated day is merged, old rows are thinned, and the mart is refreshed, as in a nightly run; every 30 days, and at
the end, the warehouse is published. `python bench/observations.py [DAYS]` takes half an hour.
"""

import sys
import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.live.merge import find_days_to_thin, first_day_by_minute, merge_day
from pipelines.marts.build import build_mart, find_marts
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.frames import read_frame

APP, STREAMS, FIRST, KEPT_DAYS, PUBLISHED_EVERY, LIMIT_MB = "aula-3f2b1c9e", 50, date(2025, 1, 1), 30, 30, 1000
MARTS = [mart for mart in find_marts() if mart.name in ("live_audience", "stream_concurrency")]

SEEN = f"""
    SELECT '{APP}' AS app_id, md5(stream::VARCHAR)::UUID::VARCHAR AS livestream_id,
        md5(concat(stream, $1, minute // 360))::UUID::VARCHAR AS session_id,
        md5(concat('meeting', stream))::UUID::VARCHAR AS meeting_id, 'LIVE' AS status,
        $1::DATE + to_seconds(minute * 60 + stream) + to_microseconds((random() * 1e6)::BIGINT) AS observed_at,
        (minute % 360 + 1) * 60.0 AS ingest_seconds, (minute % 360 + random()) * 60 * (stream + 1) AS viewer_seconds
    FROM range({STREAMS}) AS streams (stream), range(1440) AS minutes (minute)
"""
"""Sessions of six hours each; figures that do not repeat, so that they do not compress as made-up ones would."""


def megabytes(path: Path) -> float:
    return path.stat().st_size / 1e6


def live_through(warehouse: FileWarehouse, days: int) -> None:
    nothing = pl.DataFrame(schema={name: LIVE_OBSERVATIONS.polars_schema[name] for name in LIVE_OBSERVATIONS.key})
    largest, started = 0.0, time.perf_counter()
    with warehouse.open_raw():
        pass
    for number in range(days):
        day = FIRST + timedelta(days=number)
        now = datetime.combine(day + timedelta(days=1), datetime.min.time()) + timedelta(hours=2)
        with warehouse.open_working() as working:
            seen = read_frame(working, SEEN, [day])
            for old in find_days_to_thin(working, APP, observation_days=KEPT_DAYS, now=now):
                merge_day(working, APP, old, rows=nothing, by_hour=True, run_id="bench", now=now)
            by_hour = day < first_day_by_minute(KEPT_DAYS, now)
            assert merge_day(working, APP, day, rows=seen, by_hour=by_hour, run_id="bench", now=now) == seen.height
            for mart in MARTS:
                build_mart(working, mart, now)
        largest = max(largest, megabytes(warehouse.working))
        if (number + 1) % PUBLISHED_EVERY == 0 or number + 1 == days:
            warehouse.publish(print)
            with warehouse.open_working() as working:
                [(rows, hours)] = working.execute(
                    "SELECT (SELECT count(*) FROM core.live_observations), (SELECT count(*) FROM marts.live_audience)"
                ).fetchall()
            print(
                f"{number + 1} days: {rows:,} observations, {hours:,} rows of marts.live_audience; working file"
                f" {megabytes(warehouse.working):.0f} MB (at most {largest:.0f}), published copy"
                f" {megabytes(warehouse.published):.0f} MB; {time.perf_counter() - started:.0f} s",
                flush=True,
            )
    assert max(largest, megabytes(warehouse.published)) < LIMIT_MB


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        run = FileWarehouse(Path(home) / "warehouse.duckdb")
        run.prepare()
        live_through(run, int(sys.argv[1]) if len(sys.argv) > 1 else 365)

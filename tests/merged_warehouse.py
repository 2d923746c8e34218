"""A working file in memory into which observations are merged as a run does it."""

from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import polars as pl

from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.live import merge
from pipelines.live.observations import blank_placeholder_figures
from pipelines.marts.build import build_mart, find_marts

MART, PEAKS = (mart for mart in find_marts() if mart.name in ("live_audience", "stream_concurrency"))
DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12)
Observation = tuple[float, float | None, float | None]
"""Seconds since noon, ingest seconds, viewer seconds."""


class MergedWarehouse:
    """A working file in memory, with a clock that moves on."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(config={"threads": 1})
        for schema in ("core", "ops"):
            self.connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        for table in WAREHOUSE_FILE:
            self.connection.execute(table.create_sql)
        self.now = NOON + timedelta(days=1)

    def tick(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    def merge(
        self,
        *observed: Observation,
        session: str = "s1",
        stream: str = "l1",
        began: float | None = None,
        is_over: bool = False,
    ) -> int:
        """Merge observations as a run does; `began` is the session's start, `is_over` says the last row is its end."""
        rows = [
            {
                "app_id": "a",
                "livestream_id": stream,
                "observed_at": NOON + timedelta(seconds=at),
                "session_id": session,
                "ingest_seconds": ingest,
                "viewer_seconds": viewed,
                "started_at": None if began is None else NOON + timedelta(seconds=began),
                "last_on_air_at": NOON if is_over and number == len(observed) else None,
            }
            for number, (at, ingest, viewed) in enumerate(observed, start=1)
        ]
        types = LIVE_OBSERVATIONS.polars_schema | {"last_on_air_at": pl.Datetime("us")}
        frame = pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None)
        frame = blank_placeholder_figures(frame).drop("last_on_air_at")
        return sum(
            merge.merge_day(self.connection, "a", day, rows=part, by_hour=False, run_id="run", now=self.tick())
            for (day,), part in frame.group_by(pl.col("observed_at").dt.date(), maintain_order=True)
            if isinstance(day, date)
        )

    def age(self, day: date, app_id: str = "a") -> None:
        """Keep a day by the hour."""
        empty = pl.DataFrame(schema={name: LIVE_OBSERVATIONS.polars_schema[name] for name in LIVE_OBSERVATIONS.key})
        merge.merge_day(self.connection, app_id, day, rows=empty, by_hour=True, run_id="run", now=self.tick())

    def audience(self) -> list[tuple[Any, ...]]:
        """Refresh the mart, and return seconds since noon of each minute, its span, seconds observed, average."""
        build_mart(self.connection, MART, self.tick())
        rows = self.connection.execute(
            "SELECT minute, span_minutes, observed_seconds, average_concurrent_viewers FROM marts.live_audience ORDER BY ALL"
        ).fetchall()
        return [((row[0] - NOON).total_seconds(), row[1], *(round(cell, 6) for cell in row[2:])) for row in rows]

    def peaks(self) -> list[tuple[Any, ...]]:
        """Refresh the marts, and return the peak of each day with its time."""
        self.audience()
        build_mart(self.connection, PEAKS, self.tick())
        return self.query("SELECT peak_concurrent_viewers, viewers_peak_at FROM marts.stream_concurrency ORDER BY day")

    def hold_sessions(self, day: date) -> None:
        """Record that the sessions of a day are loaded, and that there are none."""
        self.connection.execute(
            """INSERT INTO ops.days BY NAME SELECT 'core.livestream_sessions' AS table_name, 'a' AS app_id,
            $day AS day, 0 AS row_count, true AS is_known, $now AS loaded_at""",
            {"day": day, "now": self.tick()},
        )

    def total(self) -> float:
        self.audience()
        return float(self.query("SELECT coalesce(sum(viewer_seconds), 0) FROM marts.live_audience")[0][0])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(sql).fetchall()


def steady(first: int, last: int, viewers: float, *, every: int = 60, began: int = 0) -> list[Observation]:
    """Return observations of a stream with a constant number of viewers, one every `every` seconds."""
    return [(at, at - began, viewers * (at - began)) for at in range(first, last + 1, every)]

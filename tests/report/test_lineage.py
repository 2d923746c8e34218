"""Column lineage, compared with what a reader finds in the SQL."""

from dataclasses import replace

import pytest

from pipelines.catalog.files import WAREHOUSE_FILE
from pipelines.marts.build import Mart, find_marts
from pipelines.marts.lineage import column_lineage

MARTS = {mart.name: mart for mart in find_marts()}
KNOWN = {"ops.days.is_known", "ops.days.table_name"}
ON_AIR = {f"core.livestream_sessions.{name}" for name in ("started_at", "ended_at", "is_live", "fetched_at")}


def made_of(mart: Mart, column: str) -> set[str]:
    return {f"{table}.{name}" for table, name in column_lineage(mart)[column]}


@pytest.mark.parametrize(
    ("mart", "column", "sources"),
    [
        ("daily_usage", "day", {"ops.days.day"}),
        # count(*): what is counted are sessions, and a CASE says whether the day is known
        ("daily_usage", "sessions", {"core.livestream_sessions.app_id", "core.livestream_sessions.session_id"} | KNOWN),
        ("daily_usage", "failed_sessions", {"core.livestream_sessions.is_failed"} | KNOWN),
        (
            "daily_usage",
            "average_concurrent_viewers",
            {f"core.livestream_sessions.{name}" for name in ("ingest_seconds", "viewer_seconds")},
        ),
        # renamed, through a join
        ("daily_usage", "recordings", {"core.recordings_daily.recording_count"}),
        # through SELECT * of a CTE, a list of quantiles and its first element
        (
            "livestream_performance",
            "time_to_live_p50_seconds",
            {"core.livestream_sessions.time_to_live_seconds"},
        ),
        ("livestream_performance", "name", {"core.livestreams.name"}),
        ("livestream_performance", "month", {"core.livestream_sessions.day"}),
        ("monthly_usage", "meeting_days_known", {"core.meeting_sessions_daily.session_count"}),
        ("reconciliation", "overall_livestreams", {"core.livestream_analytics_daily.livestream_count"}),
        # CASEs over columns that the SELECT before names
        (
            "reconciliation",
            "verdict",
            {
                f"core.livestream_analytics_daily.{name}"
                for name in ("ingest_seconds", "viewer_seconds", "session_count", "fetched_at")
            }
            | {
                f"core.livestream_sessions.{name}"
                for name in ("ingest_seconds", "viewer_seconds", "app_id", "session_id", "started_at")
            }
            | {"marts.daily_usage.provisional_sessions"}
            | {"ops.days.day", "ops.days.loaded_at"}
            | KNOWN,
        ),
        # FROM a CTE that is FROM a table
        (
            "session_reliability",
            "most_common_error_sessions",
            {"core.livestream_sessions.app_id", "core.livestream_sessions.session_id"},
        ),
        # through three CTEs and the branches of a UNION
        ("stream_concurrency", "stream_hours", ON_AIR | {"ops.days.day", "ops.days.is_known"}),
        # of a mart, by an alias that a column beside it defines
        (
            "stream_concurrency",
            "peak_concurrent_viewers",
            {f"marts.live_audience.{name}" for name in ("viewer_seconds", "observed_from", "observed_until")},
        ),
        ("live_audience", "livestream_id", {"core.live_observations.livestream_id"}),
    ],
)
def test_a_column_is_made_of_what_its_sql_reads(mart: str, column: str, sources: set[str]) -> None:
    assert made_of(MARTS[mart], column) == sources


@pytest.mark.parametrize("mart", MARTS.values(), ids=MARTS)
def test_every_column_of_a_mart_comes_from_columns_that_there_are(mart: Mart) -> None:
    columns = {(table.full_name, name) for table in WAREHOUSE_FILE for name in table.column_names}
    columns |= {(other.full_name, name) for other in mart.builds_on for name in other.columns}
    lineage = column_lineage(mart)
    assert list(lineage) == list(mart.columns)
    for name, sources in lineage.items():
        assert sources, name
        assert set(sources) <= columns, name


@pytest.mark.parametrize(
    ("sql", "sources"),
    [
        ("SELECT count(*) AS n FROM (SELECT * FROM core.livestreams) AS l", {"app_id", "livestream_id"}),
        ("WITH livestreams AS (SELECT name AS n FROM core.livestreams) SELECT n FROM livestreams", {"name"}),
        ("SELECT a.name AS n FROM core.livestreams AS a JOIN core.livestreams AS b USING (app_id)", {"name"}),
        ("SELECT 1 AS n FROM core.livestreams", set()),
        ("SELECT max(created_at) FILTER (WHERE status = 'LIVE') AS n FROM core.livestreams", {"created_at", "status"}),
    ],
)
def test_marts_of_other_shapes(sql: str, sources: set[str]) -> None:
    mart = replace(MARTS["daily_usage"], sql=sql)
    assert made_of(mart, "n") == {f"core.livestreams.{name}" for name in sources}

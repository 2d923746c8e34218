"""The raw tables: records as received, without secrets. They are in `pipeline_raw.duckdb` and are not published."""

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY, TOTAL_SECONDS
from pipelines.catalog.shared_columns import APP, DAY, FETCHED, RUN
from pipelines.catalog.types import Column, Table

_RAW_COLUMNS = (
    Column(
        "payload",
        "text",
        "Documented fields of the record as received, as JSON with sorted keys, without secrets; unknown fields keep their value only if it is a number, a boolean or a time",
    ),
    Column("digest", "count", "64 bits of BLAKE2 of the payload, to compare versions"),
    Column(
        "key_digest",
        "count",
        "63 bits of MD5 of the key, to find the versions of a record; NULL if not recorded",
    ),
    Column("first_fetched_at", "timestamp", "When this version was first received, UTC"),
    FETCHED,
    RUN,
    Column(
        "changed_at",
        "timestamp",
        "When this version last was a change: new, or back after another version, UTC; NULL if not recorded",
    ),
    Column("changed_run_id", "text", "Dagster run that received that change"),
    Column(
        "arrival",
        "count",
        "Number of the landing that last received this version; NULL if landings were not numbered yet",
    ),
    Column(
        "changed_arrival",
        "count",
        "Number of the landing that received that change; NULL if landings were not numbered yet",
    ),
)
RAW_LIVESTREAMS = Table(
    "raw",
    "livestreams",
    "Records of the list of livestreams: the first, the current and the newest version of each.",
    ("app_id", "livestream_id"),
    (APP, Column("livestream_id", "id", "Livestream id"), *_RAW_COLUMNS),
)
RAW_LIVESTREAM_SESSIONS = Table(
    "raw",
    "livestream_sessions",
    "Session records, every distinct version.",
    ("app_id", "session_id"),
    (
        APP,
        Column("session_id", "id", "Session id; NULL if the record has none"),
        Column("livestream_id", "id", "Livestream whose sessions were requested"),
        Column("day", "day", "UTC day of the session; NULL if the record names none"),
        *_RAW_COLUMNS,
        Column("days_differ", "flag", "Whether versions of this session have different days; NULL if not recorded"),
    ),
)


def days_table(name: str, description: str) -> Table:
    """Declare the raw table of a stream whose records are about one day each."""
    return Table(
        "raw",
        name,
        f"{description}, every distinct version; payload `null` if a reply left the day out.",
        ("app_id", "day"),
        (APP, DAY, *_RAW_COLUMNS),
    )


RAW_LIVESTREAM_ANALYTICS = days_table("livestream_analytics", "Replies of `overall` about one day")
RAW_LIVESTREAM_DAYWISE = days_table("livestream_analytics_daywise", "Day entries of `livestreams/daywise`")
SESSION_COUNTS = Table(
    LIVESTREAM_ANALYTICS_DAILY.schema,
    LIVESTREAM_ANALYTICS_DAILY.name,
    "Rules for entries of `livestreams/daywise`. Not a table of its own: the count is joined to the row of `overall`.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("session_count", "count", "Number of sessions", "count", is_measure=True),
        *TOTAL_SECONDS,
        FETCHED,
    ),
)
RAW_APP_ANALYTICS = Table(
    "raw",
    "app_analytics",
    "Day entries of `daywise`, every distinct version; payload `null` if a reply left the day out.",
    ("app_id", "day", "stats"),
    (APP, DAY, Column("stats", "text", "Part of the reply: session_stats or recording_stats"), *_RAW_COLUMNS),
)

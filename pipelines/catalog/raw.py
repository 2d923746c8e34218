"""The tables of `pipeline_raw.duckdb`: records as received. They are not published."""

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY
from pipelines.catalog.shared_columns import APP, DAY, FETCHED, RUN
from pipelines.catalog.types import Column, Table

_RAW_COLUMNS = (
    Column(
        "payload",
        "text",
        "the documented fields of the record as received, as JSON with sorted keys, without secrets; of an unknown field the value only if it is a number, a boolean or a time",
    ),
    Column("digest", "count", "64 bits of BLAKE2 of the payload, by which versions are told apart"),
    Column(
        "key_digest",
        "count",
        "63 bits of MD5 of the key, by which the versions of a record are found; NULL if not noted",
    ),
    Column("first_fetched_at", "timestamp", "when this very answer was first received, UTC"),
    FETCHED,
    RUN,
    Column(
        "changed_at", "timestamp", "when it was last news: new, or back after another answer; NULL if not noted, UTC"
    ),
    Column("changed_run_id", "text", "Dagster run to which it was news"),
    Column("arrival", "count", "number of the landing that last received it; NULL if landings were not numbered yet"),
    Column("changed_arrival", "count", "number of the landing to which it was last news; NULL likewise"),
)
RAW_LIVESTREAMS = Table(
    "raw",
    "livestreams",
    "Records of the list of livestreams: of each the first version, the one that stands, and the newest.",
    ("app_id", "livestream_id"),
    (APP, Column("livestream_id", "id", "livestream"), *_RAW_COLUMNS),
)
RAW_LIVESTREAM_SESSIONS = Table(
    "raw",
    "livestream_sessions",
    "Session records, every distinct version.",
    ("app_id", "session_id"),
    (
        APP,
        Column("session_id", "id", "session; NULL where the record names none"),
        Column("livestream_id", "id", "livestream whose sessions were asked for"),
        Column("day", "day", "UTC day of the session; NULL where the record names none"),
        *_RAW_COLUMNS,
        Column("days_differ", "flag", "whether versions of this session name different days; NULL if not noted"),
    ),
)


def days_table(name: str, description: str) -> Table:
    """Declare the raw table of a stream whose records are about one day each."""
    return Table(
        "raw",
        name,
        f"{description}, every distinct version; payload `null` where the reply left a day out.",
        ("app_id", "day"),
        (APP, DAY, *_RAW_COLUMNS),
    )


RAW_LIVESTREAM_ANALYTICS = days_table("livestream_analytics", "Replies of `overall` about one day")
RAW_LIVESTREAM_DAYWISE = days_table("livestream_analytics_daywise", "Day entries of `livestreams/daywise`")
SESSION_COUNTS = Table(
    LIVESTREAM_ANALYTICS_DAILY.schema,
    LIVESTREAM_ANALYTICS_DAILY.name,
    "How entries of `livestreams/daywise` are read. No table of its own: the count joins the row that `overall` makes.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("session_count", "count", "sessions", "count", is_measure=True),
        Column(
            "ingest_seconds", "seconds", "time streams were fed in, seconds", "total_ingest_seconds", is_measure=True
        ),
        Column("viewer_seconds", "seconds", "seconds watched, of all viewers", "total_viewer_seconds", is_measure=True),
        FETCHED,
    ),
)
RAW_APP_ANALYTICS = Table(
    "raw",
    "app_analytics",
    "Day entries of `daywise`, every distinct version; payload `null` where a reply left the day out.",
    ("app_id", "day", "stats"),
    (APP, DAY, Column("stats", "text", "session_stats or recording_stats"), *_RAW_COLUMNS),
)

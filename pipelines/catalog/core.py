"""The core tables: columns, logical types, keys, source fields and descriptions.

The descriptions are published as comments in DuckDB and shown in Dagster. Marts are declared in `sql/marts/`.
"""

from pipelines.catalog.shared_columns import APP, DAY, FETCHED
from pipelines.catalog.types import Column, Table

LIVESTREAMS = Table(
    "core",
    "livestreams",
    "Livestreams of an app, one row each, as last listed. A livestream that is no longer listed keeps its row.",
    ("app_id", "livestream_id"),
    (
        APP,
        Column("livestream_id", "id", "Livestream id", "id"),
        Column("name", "text", "Name; NULL if it has none", "name"),
        Column("status", "text", "Status by the API: LIVE, IDLE, ERRORED, INVOKED or another value", "status"),
        Column("is_disabled", "flag", "Whether the livestream is disabled", "disabled"),
        Column("meeting_id", "text", "Meeting that is streamed; NULL for an independent livestream", "meeting_id"),
        Column("ingest_server", "text", "Server that encoders send video to", "ingest_server"),
        Column("playback_url", "text", "URL for viewers", "playback_url"),
        Column("created_at", "timestamp", "Time of creation, UTC", "created_at"),
        Column("updated_at", "timestamp", "Time of the last change, UTC", "updated_at"),
        Column("first_seen_at", "timestamp", "When livehouse first received it, UTC"),
        Column("last_seen_at", "timestamp", "When livehouse last found it in the list, UTC"),
    ),
    is_listed=True,
)

LIVESTREAM_SESSIONS = Table(
    "core",
    "livestream_sessions",
    "Sessions: one row for each time a livestream was invoked. Partitioned by app_id and day.",
    ("app_id", "session_id"),
    (
        APP,
        Column("session_id", "id", "Session id", "id"),
        Column("day", "day", "UTC day of created_at, else of invoked_at, else of started_at"),
        Column("livestream_id", "id", "Livestream of the session", "livestream_id"),
        Column("created_at", "timestamp", "Time of creation, UTC", "created_at"),
        Column("invoked_at", "timestamp", "When the stream was requested to start, UTC", "invoked_time"),
        Column("started_at", "timestamp", "When the session went live, UTC; NULL if it never did", "started_time"),
        Column("stopped_at", "timestamp", "When the session stopped, UTC; NULL while it runs", "stopped_time"),
        Column("updated_at", "timestamp", "Time of the last change of the record, UTC", "updated_at"),
        Column(
            "ingest_seconds", "seconds", "Time that video was received, in seconds", "ingest_seconds", is_measure=True
        ),
        Column(
            "viewer_seconds",
            "seconds",
            "Time watched, summed over all viewers, in seconds",
            "viewer_seconds",
            is_measure=True,
        ),
        Column("err_message", "text", "Error message; NULL or empty if the session did not fail", "err_message"),
        Column("is_live", "flag", "Whether the session has started, has not stopped and has no error"),
        Column(
            "ended_at",
            "timestamp",
            "When the session ended, UTC: stopped_at, or updated_at if it failed after its start without a stop;"
            " NULL while it runs and if the end is unknown",
        ),
        Column("is_failed", "flag", "Whether the session has an error message"),
        Column(
            "time_to_live_seconds",
            "seconds",
            "started_at - invoked_at in seconds; 0 if the start is before the invocation; NULL if either is unknown",
        ),
        Column(
            "is_provisional",
            "flag",
            "Whether the session has neither stopped nor failed: its measures can still change in either direction",
        ),
        FETCHED,
    ),
    day_sources=("created_at", "invoked_at", "started_at"),
    request_columns=("livestream_id",),
    ends=True,
)

TOTAL_SECONDS = (
    Column(
        "ingest_seconds", "seconds", "Time that video was received, in seconds", "total_ingest_seconds", is_measure=True
    ),
    Column(
        "viewer_seconds",
        "seconds",
        "Time watched, summed over all viewers, in seconds",
        "total_viewer_seconds",
        is_measure=True,
    ),
)
"""Totals over all livestreams, in `overall` and in `livestreams/daywise`."""

LIVESTREAM_ANALYTICS_DAILY = Table(
    "core",
    "livestream_analytics_daily",
    "The API's own daily totals over all livestreams (`overall`). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("livestream_count", "count", "Number of livestreams, as counted by the API", "count", is_measure=True),
        *TOTAL_SECONDS,
        FETCHED,
        Column(
            "session_count",
            "count",
            "Number of sessions, as counted by the API (`livestreams/daywise`); NULL if unknown",
        ),
    ),
    joined_columns=("session_count",),
)

MEETING_SESSIONS_DAILY = Table(
    "core",
    "meeting_sessions_daily",
    "Daily totals of meeting sessions (`daywise` session_stats). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("session_count", "count", "Number of meeting sessions", "total_sessions", is_measure=True),
        Column(
            "session_minutes",
            "minutes",
            "Duration of meeting sessions, in minutes",
            "total_session_minutes",
            is_measure=True,
        ),
        FETCHED,
    ),
)

RECORDINGS_DAILY = Table(
    "core",
    "recordings_daily",
    "Daily totals of recordings (`daywise` recording_stats). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("recording_count", "count", "Number of recordings", "total_recordings", is_measure=True),
        Column(
            "recording_minutes",
            "minutes",
            "Duration of recordings, in minutes",
            "total_recording_minutes",
            is_measure=True,
        ),
        FETCHED,
    ),
)

OBSERVED = (
    APP,
    Column("livestream_id", "id", "Livestream id"),
    Column("observed_at", "timestamp", "Time of the API's response, or of the end of the session, UTC"),
    Column("session_id", "id", "Session that is on air"),
    Column("meeting_id", "text", "Meeting that is streamed; NULL for an independent livestream"),
    Column("status", "text", "Status of the livestream; ENDED or FAILED if the row has a session's final measures"),
    Column(
        "ingest_seconds",
        "seconds",
        "Time that video was received so far, in seconds; NULL if unknown, as in the first minute",
    ),
    Column("viewer_seconds", "seconds", "Time watched so far, summed over all viewers, in seconds; NULL if unknown"),
)
LIVE_OBSERVATIONS = Table(
    "core",
    "live_observations",
    "Streams on air, one row per livestream and poll, and one more when its session ended.",
    ("app_id", "livestream_id", "observed_at"),
    (
        *OBSERVED,
        Column("started_at", "timestamp", "When the session went live, UTC; NULL for observations by earlier versions"),
        Column("day", "day", "UTC day of observed_at"),
        Column(
            "is_thinned",
            "flag",
            "Whether rows between the previous one and this one were dropped; they had no gap among them",
        ),
    ),
)

"""The tables of the warehouse, once: columns, kinds, keys, where a value comes from, what it means.

Everything that creates, fills, checks or documents a table reads it here, or in the other `tables_….py`.
Marts have `sql/marts/` for it.
"""

from pipelines.catalog.shared_columns import APP, DAY, FETCHED
from pipelines.catalog.types import Column, Table

LIVESTREAMS = Table(
    "core",
    "livestreams",
    "Livestreams of an app, one row each, as last listed. A livestream no longer listed stays.",
    ("app_id", "livestream_id"),
    (
        APP,
        Column("livestream_id", "id", "livestream", "id"),
        Column("name", "text", "name given to it; NULL where none was", "name"),
        Column("status", "text", "LIVE, IDLE, ERRORED, INVOKED, or another the API uses", "status"),
        Column("is_disabled", "flag", "whether it was disabled", "disabled"),
        Column("meeting_id", "text", "meeting it streams; NULL for an independent one", "meeting_id"),
        Column("ingest_server", "text", "where encoders send video to", "ingest_server"),
        Column("playback_url", "text", "where viewers watch", "playback_url"),
        Column("created_at", "timestamp", "when it was created, UTC", "created_at"),
        Column("updated_at", "timestamp", "when it last changed, UTC", "updated_at"),
        Column("first_seen_at", "timestamp", "when livehouse first saw it, UTC"),
        Column("last_seen_at", "timestamp", "when livehouse last saw it listed, UTC"),
    ),
    is_listed=True,
)

LIVESTREAM_SESSIONS = Table(
    "core",
    "livestream_sessions",
    "Sessions: each time a livestream was invoked. Partitioned by app_id and day.",
    ("app_id", "session_id"),
    (
        APP,
        Column("session_id", "id", "session", "id"),
        Column("day", "day", "UTC day of created_at, else of invoked_at, else of started_at"),
        Column("livestream_id", "id", "livestream it belongs to", "livestream_id"),
        Column("created_at", "timestamp", "when the session was created, UTC", "created_at"),
        Column("invoked_at", "timestamp", "when the stream was asked to start, UTC", "invoked_time"),
        Column("started_at", "timestamp", "when it went live, UTC; NULL if it never did", "started_time"),
        Column("stopped_at", "timestamp", "when it stopped, UTC; NULL while it runs", "stopped_time"),
        Column("updated_at", "timestamp", "when the record last changed, UTC", "updated_at"),
        Column("ingest_seconds", "seconds", "time the stream was fed in, seconds", "ingest_seconds", is_measure=True),
        Column("viewer_seconds", "seconds", "seconds watched, of all viewers", "viewer_seconds", is_measure=True),
        Column("err_message", "text", "why it failed; NULL or empty if it did not", "err_message"),
        Column("is_live", "flag", "started, not stopped, no error"),
        Column(
            "ended_at",
            "timestamp",
            "when it ended, UTC: its stop; of one that failed after its start without a stop, when its record last changed;"
            " NULL while it runs, and where the end is unknown",
        ),
        Column("is_failed", "flag", "whether it carries an error message"),
        Column(
            "time_to_live_seconds",
            "seconds",
            "started - invoked, seconds; 0 where the start was noted before the invocation; NULL where either is unknown",
        ),
        Column(
            "is_provisional",
            "flag",
            "neither stopped nor failed: its figures are provisional, and those after its end replace them",
        ),
        FETCHED,
    ),
    day_sources=("created_at", "invoked_at", "started_at"),
    request_columns=("livestream_id",),
    ends=True,
)

LIVESTREAM_ANALYTICS_DAILY = Table(
    "core",
    "livestream_analytics_daily",
    "The API's own totals over all livestreams of a day (`overall`). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("livestream_count", "count", "livestreams the API counted", "count", is_measure=True),
        Column(
            "ingest_seconds", "seconds", "time streams were fed in, seconds", "total_ingest_seconds", is_measure=True
        ),
        Column("viewer_seconds", "seconds", "seconds watched, of all viewers", "total_viewer_seconds", is_measure=True),
        FETCHED,
        Column("session_count", "count", "sessions the API counted (`livestreams/daywise`); NULL where unknown"),
    ),
    joined_columns=("session_count",),
)

MEETING_SESSIONS_DAILY = Table(
    "core",
    "meeting_sessions_daily",
    "Meeting sessions of a day (`daywise` session_stats). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("session_count", "count", "meeting sessions", "total_sessions", is_measure=True),
        Column("session_minutes", "minutes", "minutes of meeting sessions", "total_session_minutes", is_measure=True),
        FETCHED,
    ),
)

RECORDINGS_DAILY = Table(
    "core",
    "recordings_daily",
    "Recordings of a day (`daywise` recording_stats). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("recording_count", "count", "recordings", "total_recordings", is_measure=True),
        Column("recording_minutes", "minutes", "minutes recorded", "total_recording_minutes", is_measure=True),
        FETCHED,
    ),
)

OBSERVED = (
    APP,
    Column("livestream_id", "id", "livestream"),
    Column("observed_at", "timestamp", "when the API answered, or when the session had ended, UTC"),
    Column("session_id", "id", "session on air"),
    Column("meeting_id", "text", "meeting it streams; NULL for an independent one"),
    Column("status", "text", "status of the livestream; ENDED or FAILED where the row has a session's last figures"),
    Column("ingest_seconds", "seconds", "time fed in so far, seconds; NULL where unknown, as in the first minute"),
    Column("viewer_seconds", "seconds", "time watched so far, summed over viewers, seconds; NULL likewise"),
)
LIVE_OBSERVATIONS = Table(
    "core",
    "live_observations",
    "What was on air at a moment somebody looked, one row a stream and moment; a row more when its session ended.",
    ("app_id", "livestream_id", "observed_at"),
    (
        *OBSERVED,
        Column("started_at", "timestamp", "when the session went live, UTC; NULL of observations by earlier versions"),
        Column("day", "day", "UTC day of observed_at"),
        Column("is_thinned", "flag", "rows between the one before and this one were dropped; no gap was among them"),
    ),
)

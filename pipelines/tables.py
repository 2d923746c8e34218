"""The tables of the warehouse, once: columns, kinds, keys, where a value comes from, what it means.

Everything that creates, fills, checks or documents a table reads it here, or in the other `tables_….py`.
Marts have `sql/marts/` for it.
"""

from pipelines.schema import Column, Table
from pipelines.tables_marts import MART_BUILDS, MART_INPUTS

APP = Column("app_id", "id", "RealtimeKit app")
DAY = Column("day", "day", "UTC day")
FETCHED = Column("fetched_at", "timestamp", "when this answer was last received, UTC")
RUN = Column("run_id", "text", "Dagster run that received or wrote it")

# --- core: what analysts read -------------------------------------------------------------------------
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
        Column("ingest_seconds", "seconds", "time the stream was fed in, seconds", "ingest_seconds", figure=True),
        Column("viewer_seconds", "seconds", "seconds watched, of all viewers", "viewer_seconds", figure=True),
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
)

LIVESTREAM_ANALYTICS_DAILY = Table(
    "core",
    "livestream_analytics_daily",
    "The API's own totals over all livestreams of a day (`overall`). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("livestream_count", "count", "livestreams the API counted", "count", figure=True),
        Column("ingest_seconds", "seconds", "time streams were fed in, seconds", "total_ingest_seconds", figure=True),
        Column("viewer_seconds", "seconds", "seconds watched, of all viewers", "total_viewer_seconds", figure=True),
        FETCHED,
        Column("session_count", "count", "sessions the API counted (`livestreams/daywise`); NULL where unknown"),
    ),
)

MEETING_SESSIONS_DAILY = Table(
    "core",
    "meeting_sessions_daily",
    "Meeting sessions of a day (`daywise` session_stats). Partitioned by app_id and day.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("session_count", "count", "meeting sessions", "total_sessions", figure=True),
        Column("session_minutes", "minutes", "minutes of meeting sessions", "total_session_minutes", figure=True),
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
        Column("recording_count", "count", "recordings", "total_recordings", figure=True),
        Column("recording_minutes", "minutes", "minutes recorded", "total_recording_minutes", figure=True),
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

# --- ops: the pipeline about itself ---------------------------------------------------------------------
LOADS = Table(
    "ops",
    "loads",
    "What each run did to each table of each app. received = landed + quarantined + duplicate, always.",
    ("run_id", "table_name", "app_id"),
    (
        RUN,
        Column("table_name", "text", "table written"),
        APP,
        Column("first_day", "day", "first day asked for; NULL where the table has no days"),
        Column("last_day", "day", "last day asked for; NULL where the table has no days"),
        Column("rows_received", "count", "records at hand: of raw tables received, of core tables read from raw"),
        Column("rows_landed", "count", "rows written"),
        Column("rows_quarantined", "count", "records set aside, see ops.quarantine"),
        Column("rows_duplicate", "count", "records that another of the same key supersedes or repeats; and empty ones"),
        Column("api_requests", "count", "requests sent for it, retries included"),
        Column("api_retries", "count", "requests that had to be sent again"),
        Column("started_at", "timestamp", "start, UTC"),
        Column("finished_at", "timestamp", "end, UTC"),
        Column("note", "text", "what was out of the ordinary; NULL if nothing was"),
        Column("arrival", "count", "number of the last landing that was taken into account; NULL of raw tables"),
    ),
)
QUARANTINE = Table(
    "ops",
    "quarantine",
    "Records no rule takes, as things stand: one that later arrives whole leaves.",
    ("app_id", "table_name", "record_id"),
    (
        APP,
        Column("table_name", "text", "core table the record is missing from"),
        Column("day", "day", "UTC day, where the record names one"),
        Column("record_id", "text", "key of the record, where it has one"),
        Column("field", "text", "field of the API's record that was not taken"),
        Column("reason", "text", "why"),
        Column("payload", "text", "the record as received"),
        FETCHED,
        RUN,
    ),
)
DAYS = Table(
    "ops",
    "days",
    "Which days of which app each fact table holds: a day that is not here was never loaded.",
    ("table_name", "app_id", "day"),
    (
        Column("table_name", "text", "fact table"),
        APP,
        DAY,
        Column("row_count", "count", "rows of that day"),
        Column("is_known", "flag", "false: no rows, and older than the source remembers; so not zero but unknown"),
        Column("loaded_at", "timestamp", "when the day was last swapped in, UTC"),
        RUN,
        Column("arrival", "count", "number of the last landing that it was made from; NULL if not noted"),
    ),
    unique=True,
)
MISSING_DAYS = Table(
    "ops",
    "missing_days",
    "Days that a nightly run tried to catch up on and could not load, although it loaded others of the same app.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("attempts", "count", "runs that tried"),
        Column("tried_at", "timestamp", "last attempt, UTC"),
    ),
    unique=True,
)
SHRINKS = Table(
    "ops",
    "shrinks",
    "Where the source now says less than it said before: the older figures stand.",
    ("app_id", "table_name", "record_id"),
    (
        APP,
        Column("table_name", "text", "core table whose older row stands"),
        Column("day", "day", "UTC day"),
        Column("record_id", "text", "key of the row"),
        Column("reason", "text", "what the source did: forgot the figures, or the row"),
        FETCHED,
        RUN,
    ),
)
LIVESTREAM_SYNC = Table(
    "ops",
    "livestream_sync",
    "Of which livestreams the sessions are known, and as of when.",
    ("app_id", "livestream_id"),
    (
        APP,
        Column("livestream_id", "id", "livestream"),
        Column("upstream_updated_at", "timestamp", "the livestream's updated_at when its sessions were asked for, UTC"),
        Column("synced_at", "timestamp", "when its sessions were last asked for, UTC"),
        Column("complete", "flag", "whether the answer was complete"),
        Column("arrival", "count", "number of the landing that recorded it; NULL if not noted"),
        Column("previous_arrival", "count", "the same of the answer before"),
        Column(
            "given_up_at",
            "timestamp",
            "since when sessions of it that never ended are not fetched any more, UTC; NULL if there are none",
        ),
        Column(
            "failed_at", "timestamp", "when its sessions could not be read, UTC; NULL if the last attempt succeeded"
        ),
        Column("failure", "text", "why they could not be read; NULL if the last attempt succeeded"),
    ),
    unique=True,
)
FIELD_TYPES = Table(
    "ops",
    "field_types",
    "In which JSON types each field has come: the drift record. Of a status, its values.",
    ("table_name", "field", "json_type"),
    (
        Column("table_name", "text", "raw table"),
        Column("field", "text", "field of the API's record"),
        Column("json_type", "text", "string, number, boolean, null, array, object; of status: string:VALUE"),
        Column("records", "count", "records it came in"),
        Column("first_seen_at", "timestamp", "first time, UTC"),
        Column("last_seen_at", "timestamp", "last time, UTC"),
    ),
    unique=True,
)
AUDITS = Table(
    "ops",
    "audits",
    "What nightly runs found when they fetched livestreams that nothing said had changed.",
    ("run_id", "app_id"),
    (
        RUN,
        APP,
        Column("audited_at", "timestamp", "when they were compared, UTC"),
        Column("livestreams_skipped", "count", "livestreams that the run would not have fetched"),
        Column("livestreams_audited", "count", "livestreams among them that were fetched all the same"),
        Column(
            "livestreams_changed", "count", "livestreams among those with sessions that were new or had other figures"
        ),
        Column("sessions_changed", "count", "such sessions"),
        Column("livestreams_refreshed", "count", "livestreams fetched besides, because of that"),
    ),
    unique=True,
)
API_DIALECT = Table(
    "ops",
    "api_dialect",
    "Which dialect the service was found to speak, so that no request is sent that it refuses.",
    ("app_id", "base_url", "operation", "setting"),
    (
        APP,
        Column("base_url", "text", "address of the service"),
        Column("operation", "text", "operation, as `livehouse api` calls it"),
        Column("setting", "text", "time_form, page_size or offered"),
        Column("value", "text", "unix_seconds or iso_8601; rows of a page; yes or no"),
        Column("noted_at", "timestamp", "when that was found out, UTC"),
    ),
    unique=True,
)
BACKFILLS = Table(
    "ops",
    "open_backfills",
    "Backfills that have not finished: one started again goes on from what it asked since then.",
    ("app_ids", "first_day", "last_day", "is_full"),
    (
        Column("app_ids", "text", "the apps it is of, in the order of the alphabet, comma-separated"),
        Column("first_day", "day", "first day"),
        Column("last_day", "day", "last day"),
        Column("is_full", "flag", "whether --full was given"),
        Column("started_at", "timestamp", "when it was first started, UTC"),
        Column("arrival", "count", "number of the last landing before it was first started"),
    ),
    unique=True,
)

FINGERPRINTS = Table(
    "ops",
    "fingerprints",
    "By which columns and rules each core table of an app was made. On a difference the next run rebuilds it from raw.",
    ("table_name", "app_id"),
    (
        Column("table_name", "text", "core table"),
        APP,
        Column("fingerprint", "text", "SHA-256 of the table's columns and of the version of the rules"),
        Column("noted_at", "timestamp", "when every loaded day had been made by them, UTC"),
    ),
    unique=True,
)
SCHEMA_VERSIONS = Table(
    "ops",
    "schema_versions",
    "Schema versions this warehouse has had. A livehouse that knows only lower ones refuses to write to it.",
    ("schema_version",),
    (
        Column("schema_version", "count", "version of the schema"),
        Column("livehouse_version", "text", "release of livehouse that applied it first"),
        Column("applied_at", "timestamp", "when that was, UTC"),
    ),
    unique=True,
)

LIVESTREAM_LISTS = Table(
    "ops",
    "livestream_lists",
    "The last complete list of livestreams of each app: what it does not hold any more is not fetched.",
    ("app_id",),
    (
        APP,
        Column("livestreams", "count", "livestreams that the list held"),
        Column("arrival", "count", "number of the last landing before the list was read: its records arrived later"),
        Column("previous_arrival", "count", "the same of the list before"),
        Column("listed_at", "timestamp", "when it was read, UTC"),
        RUN,
    ),
    unique=True,
)
LANDINGS = Table(
    "ops",
    "landings",
    "How many landings there were. Their numbers give the order in which answers arrived, whatever a clock says.",
    ("name",),
    (
        Column("name", "text", "what is counted: landing"),
        Column("number", "count", "number of the last one"),
        Column(
            "landed_at", "timestamp", "latest time at which an answer was received, by the clock of its machine, UTC"
        ),
    ),
    unique=True,
)

FACTS = (LIVESTREAM_SESSIONS, LIVESTREAM_ANALYTICS_DAILY, MEETING_SESSIONS_DAILY, RECORDINGS_DAILY)
MIRRORED = (LIVESTREAM_SYNC, FIELD_TYPES)
"""Tables of `pipeline_raw.duckdb` that are copied into the warehouse, since raw is not published."""
WAREHOUSE_FILE = (
    LIVESTREAMS,
    *FACTS,
    LIVE_OBSERVATIONS,
    LOADS,
    QUARANTINE,
    DAYS,
    MISSING_DAYS,
    SHRINKS,
    MART_BUILDS,
    MART_INPUTS,
    API_DIALECT,
    AUDITS,
    FINGERPRINTS,
    SCHEMA_VERSIONS,
    *MIRRORED,
)
"""Tables of `pipeline.duckdb`, and so of the published `warehouse.duckdb`."""

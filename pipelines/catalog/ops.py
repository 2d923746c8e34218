"""The tables in `ops`: what the pipeline records about itself."""

from pipelines.catalog.shared_columns import APP, DAY, FETCHED, RUN
from pipelines.catalog.types import Column, Table

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
        Column("loaded_at", "timestamp", "when what is loaded was fetched, UTC; a rebuild from raw does not move it"),
        RUN,
        Column("arrival", "count", "number of the last landing that it was made from; NULL if not noted"),
        Column(
            "unread_livestreams",
            "count",
            "livestreams that may have had a session that day and could not be read; NULL for tables other than sessions",
        ),
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

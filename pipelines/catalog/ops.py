"""The tables in `ops`, in which the pipeline records its own work."""

from pipelines.catalog.shared_columns import APP, DAY, FETCHED, RUN
from pipelines.catalog.types import Column, Table

LOADS = Table(
    "ops",
    "loads",
    "Rows and requests of each load: one row per run, table and app. received = landed + quarantined + duplicate.",
    ("run_id", "table_name", "app_id"),
    (
        RUN,
        Column("table_name", "text", "Table that was loaded"),
        APP,
        Column("first_day", "day", "First day of the load; NULL if the table has no days"),
        Column("last_day", "day", "Last day of the load; NULL if the table has no days"),
        Column(
            "rows_received",
            "count",
            "Records received from the API (raw tables), or versions read from raw and rows of unchanged days (core tables)",
        ),
        Column("rows_landed", "count", "Rows written, or unchanged"),
        Column("rows_quarantined", "count", "Records quarantined, see ops.quarantine"),
        Column(
            "rows_duplicate",
            "count",
            "Records that are empty, or repeated or superseded by another version of the same key",
        ),
        Column("api_requests", "count", "API requests, including retries"),
        Column("api_retries", "count", "API requests that were retries"),
        Column(
            "api_refusals",
            "count",
            "API requests that the rate limit refused (HTTP 429); NULL in loads of earlier versions",
        ),
        Column("started_at", "timestamp", "Start of the load, UTC"),
        Column("finished_at", "timestamp", "End of the load, UTC"),
        Column("note", "text", "Failure or warning; NULL if there is none"),
        Column("arrival", "count", "Number of the last landing that the load read; NULL for raw tables"),
    ),
)
QUARANTINE = Table(
    "ops",
    "quarantine",
    "Records that the rules reject, as of now: a record that later arrives valid is removed.",
    ("app_id", "table_name", "record_id"),
    (
        APP,
        Column("table_name", "text", "Core table that lacks the record"),
        Column("day", "day", "UTC day; NULL if the record names none"),
        Column("record_id", "text", "Key of the record; NULL if it has none"),
        Column("field", "text", "Rejected field of the API's record"),
        Column("reason", "text", "Reason for the rejection"),
        Column("payload", "text", "Record as received, as JSON"),
        FETCHED,
        RUN,
    ),
)
DAYS = Table(
    "ops",
    "days",
    "Loaded days of each fact table and app. A day without a row was never loaded.",
    ("table_name", "app_id", "day"),
    (
        Column("table_name", "text", "Fact table"),
        APP,
        DAY,
        Column("row_count", "count", "Number of rows of the day"),
        Column(
            "is_known",
            "flag",
            "False if the day has no rows and is older than the retention period: it is unknown, not zero",
        ),
        Column("loaded_at", "timestamp", "When the loaded records were fetched, UTC; a rebuild from raw keeps it"),
        RUN,
        Column("arrival", "count", "Number of the last landing that the day was built from; NULL if not recorded"),
        Column(
            "unread_livestreams",
            "count",
            "Livestreams that may have had a session that day and could not be fetched; NULL for tables other than sessions",
        ),
        Column(
            "inputs_digest",
            "count",
            "Digest of the raw records, rules and settings that the day was built from; NULL if its rows can also change"
            " for another reason, or if not recorded",
        ),
        Column("rows_digest", "count", "Digest of the day's rows; NULL if not recorded"),
    ),
    unique=True,
)
MISSING_DAYS = Table(
    "ops",
    "missing_days",
    "Days that a nightly run could not catch up on, although it loaded other days of the same app.",
    ("app_id", "day"),
    (
        APP,
        DAY,
        Column("attempts", "count", "Number of runs that tried"),
        Column("tried_at", "timestamp", "Time of the last attempt, UTC"),
    ),
    unique=True,
)
SHRINKS = Table(
    "ops",
    "shrinks",
    "Rows whose values became smaller or vanished at the source: core keeps the larger, older values.",
    ("app_id", "table_name", "record_id"),
    (
        APP,
        Column("table_name", "text", "Core table that keeps the older row"),
        Column("day", "day", "UTC day"),
        Column("record_id", "text", "Key of the row"),
        Column("reason", "text", "Whether the source lost the values or the row"),
        FETCHED,
        RUN,
    ),
)
LIVESTREAM_SYNC = Table(
    "ops",
    "livestream_sync",
    "Livestreams whose sessions were fetched, and when.",
    ("app_id", "livestream_id"),
    (
        APP,
        Column("livestream_id", "id", "Livestream id"),
        Column("upstream_updated_at", "timestamp", "The livestream's updated_at when its sessions were fetched, UTC"),
        Column("synced_at", "timestamp", "When its sessions were last fetched, UTC"),
        Column("complete", "flag", "Whether the list of sessions was complete"),
        Column("arrival", "count", "Number of the landing that recorded the fetch; NULL if not recorded"),
        Column("previous_arrival", "count", "Number of the landing that recorded the previous fetch"),
        Column(
            "given_up_at",
            "timestamp",
            "Since when its sessions that never ended are no longer fetched, UTC; NULL if there is no such session",
        ),
        Column("failed_at", "timestamp", "When fetching its sessions failed, UTC; NULL if the last attempt succeeded"),
        Column("failure", "text", "Why fetching its sessions failed; NULL if the last attempt succeeded"),
    ),
    unique=True,
)
FIELD_TYPES = Table(
    "ops",
    "field_types",
    "JSON types received for each field, to detect schema drift; for a status, its values.",
    ("table_name", "field", "json_type"),
    (
        Column("table_name", "text", "Raw table"),
        Column("field", "text", "Field of the API's record"),
        Column("json_type", "text", "string, number, boolean, null, array or object; string:VALUE for a status"),
        Column("records", "count", "Number of records with this field and type"),
        Column("first_seen_at", "timestamp", "When first received, UTC"),
        Column("last_seen_at", "timestamp", "When last received, UTC"),
    ),
    unique=True,
)
AUDITS = Table(
    "ops",
    "audits",
    "Results of nightly audits: livestreams that were fetched although they seemed unchanged.",
    ("run_id", "app_id"),
    (
        RUN,
        APP,
        Column("audited_at", "timestamp", "Time of the comparison, UTC"),
        Column("livestreams_skipped", "count", "Livestreams that the run would have skipped"),
        Column("livestreams_audited", "count", "Skipped livestreams that were fetched for the audit"),
        Column("livestreams_changed", "count", "Audited livestreams with sessions that were new or had other values"),
        Column("sessions_changed", "count", "Sessions that were new or had other values"),
        Column("livestreams_refreshed", "count", "Livestreams that were fetched in addition because of these findings"),
    ),
    unique=True,
)
API_DIALECT = Table(
    "ops",
    "api_dialect",
    "Dialect of the API, as detected: livehouse sends no request that the service refuses.",
    ("app_id", "base_url", "operation", "setting"),
    (
        APP,
        Column("base_url", "text", "Base URL of the service"),
        Column("operation", "text", "Operation, as named by `livehouse api`"),
        Column("setting", "text", "time_form, page_size or offered"),
        Column("value", "text", "unix_seconds or iso_8601; rows per page; yes or no"),
        Column("noted_at", "timestamp", "When the dialect was detected, UTC"),
    ),
    unique=True,
)
BACKFILLS = Table(
    "ops",
    "open_backfills",
    "Backfills that have not finished: a restarted backfill does not fetch again what it fetched since then.",
    ("app_ids", "first_day", "last_day", "is_full"),
    (
        Column("app_ids", "text", "Apps in alphabetical order, separated by commas"),
        Column("first_day", "day", "First day"),
        Column("last_day", "day", "Last day"),
        Column("is_full", "flag", "Whether --full was given"),
        Column("started_at", "timestamp", "When the backfill was first started, UTC"),
        Column("arrival", "count", "Number of the last landing before the backfill was first started"),
    ),
    unique=True,
)

FINGERPRINTS = Table(
    "ops",
    "fingerprints",
    "Columns and rules that each core table of an app was built with. If they differ, the next run rebuilds it from raw.",
    ("table_name", "app_id"),
    (
        Column("table_name", "text", "Core table"),
        APP,
        Column("fingerprint", "text", "SHA-256 of the table's columns and of the version of the rules"),
        Column("noted_at", "timestamp", "When every loaded day had been built with them, UTC"),
    ),
    unique=True,
)
SCHEMA_VERSIONS = Table(
    "ops",
    "schema_versions",
    "Schema versions of this warehouse. A livehouse that knows only lower versions does not write to it.",
    ("schema_version",),
    (
        Column("schema_version", "count", "Version of the schema"),
        Column("livehouse_version", "text", "First release of livehouse that applied it"),
        Column("applied_at", "timestamp", "When it was applied, UTC"),
    ),
    unique=True,
)

LIVESTREAM_LISTS = Table(
    "ops",
    "livestream_lists",
    "Last complete list of livestreams of each app: livestreams that are no longer in it are not fetched.",
    ("app_id",),
    (
        APP,
        Column("livestreams", "count", "Number of livestreams in the list"),
        Column(
            "arrival", "count", "Number of the last landing before the list was read: its records have higher numbers"
        ),
        Column("previous_arrival", "count", "The same number for the previous list"),
        Column("listed_at", "timestamp", "When the list was read, UTC"),
        RUN,
    ),
    unique=True,
)
LANDINGS = Table(
    "ops",
    "landings",
    "Number of landings. It gives the order in which responses arrived, independent of clocks.",
    ("name",),
    (
        Column("name", "text", "Name of the counter: landing"),
        Column("number", "count", "Number of the last landing"),
        Column(
            "landed_at", "timestamp", "Latest time at which a response was received, by the clock of its machine, UTC"
        ),
    ),
    unique=True,
)

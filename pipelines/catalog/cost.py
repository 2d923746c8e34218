"""The tables that cost estimates and statements read, or that a closed statement is kept in."""

from pipelines.catalog.shared_columns import APP
from pipelines.catalog.types import Column, Table

UNASSIGNED = "unassigned"
"""The customer of livestreams that are assigned to none."""

RATES = Table(
    "ops",
    "rates",
    "Prices of a minute by app, from the settings of the last run. Marts estimate costs with them.",
    ("app_id",),
    (
        APP,
        Column("media", "text", "video, or audio for the apps in LIVEHOUSE_AUDIO_APPS"),
        Column("export_rate", "number", "Price of a minute recorded or exported, in US dollars"),
        Column("participant_rate", "number", "Price of a participant minute, in US dollars"),
    ),
    unique=True,
)
ALLOWANCES = Table(
    "ops",
    "allowances",
    "Minutes that a contract includes each month, from LIVEHOUSE_ALLOWANCES as of the last run.",
    ("holder_type", "holder", "measure"),
    (
        Column("holder_type", "text", "app or customer"),
        Column("holder", "text", "App id, or name of the customer"),
        Column(
            "measure", "text", "What is counted: viewer_minutes, ingest_minutes, meeting_minutes or recording_minutes"
        ),
        Column("included_minutes", "minutes", "Minutes that are included in each month"),
        Column("overage_rate", "number", "Price of each minute beyond, in US dollars; NULL if none is given"),
    ),
    unique=True,
)
CUSTOMERS = Table(
    "ops",
    "customers",
    "Customer of a livestream or meeting, from LIVEHOUSE_CUSTOMERS as of the last run. The livestream's own row takes precedence.",
    ("assigned_by", "record_id"),
    (
        Column("assigned_by", "text", "livestream or meeting"),
        Column("record_id", "text", "Livestream id or meeting id"),
        Column("customer", "text", "Name of the customer"),
    ),
    unique=True,
)
TERMS = (RATES, ALLOWANCES, CUSTOMERS)
"""The tables that a run writes from its settings."""

_STATED = (
    Column("month", "day", "First day of the UTC month"),
    Column("number", "count", "Number of the statement of that month: 1 for the first"),
)
STATEMENTS = Table(
    "ops",
    "statements",
    "Figures of each month that was closed with `livehouse statement --close`, as marts.monthly_cost had them then.",
    ("month", "number", "app_id", "customer"),
    (
        *_STATED,
        APP,
        Column("customer", "text", "Customer, or unassigned"),
        Column("closed_at", "timestamp", "When the month was closed, UTC"),
        Column("as_of", "timestamp", "Latest load of any of the figures, UTC"),
        Column("is_complete", "flag", "Whether every day was known and final"),
        Column("sessions", "count", "Livestream sessions"),
        Column("viewer_seconds", "seconds", "Time watched"),
        Column("ingest_seconds", "seconds", "Time streams were fed in"),
        Column("meeting_ingest_seconds", "seconds", "Part of ingest_seconds from livestreams that stream a meeting"),
        Column("meeting_minutes", "minutes", "Minutes of meeting sessions"),
        Column("recording_minutes", "minutes", "Minutes recorded"),
        Column("export_rate", "number", "Price of a minute recorded or exported, in US dollars"),
        Column("participant_rate", "number", "Price of a participant minute, in US dollars"),
        Column("cost", "number", "Estimated cost, in US dollars"),
    ),
    unique=True,
)
STATEMENT_ALLOWANCES = Table(
    "ops",
    "statement_allowances",
    "Use of each allowance in the months that were closed, as marts.monthly_allowance had it then.",
    ("month", "number", "holder_type", "holder", "measure"),
    (
        *_STATED,
        *ALLOWANCES.columns,
        Column("used_minutes", "minutes", "Minutes used; NULL if unknown"),
        Column("overage_minutes", "minutes", "Minutes used beyond those included"),
        Column("overage_cost", "number", "overage_minutes at overage_rate, in US dollars"),
    ),
    unique=True,
)
STATEMENT_RECORDS = Table(
    "ops",
    "statement_records",
    "Records behind the last statement of each closed month: sessions, daily meetings and recordings, quarantined records,"
    " loaded days (ops.days). Later statements compare them with the current ones.",
    ("month", "app_id", "table_name", "record_id"),
    (
        _STATED[0],
        APP,
        Column("table_name", "text", "Table of the record"),
        Column("record_id", "text", "Session id, or day"),
        Column("day", "day", "UTC day; NULL if a quarantined record names none"),
        Column("is_loaded", "flag", "Whether the table had the record; of a day: whether its sessions were known"),
        Column("is_quarantined", "flag", "Whether its newest version was in quarantine"),
        Column("customer", "text", "Customer, or unassigned"),
        Column("streams_meeting", "flag", "Whether the session's livestream streamed a meeting"),
        Column("ingest_seconds", "seconds", "Time the session was fed in"),
        Column("viewer_seconds", "seconds", "Time the session was watched"),
        Column("minutes", "minutes", "Minutes of the day's meetings or recordings"),
    ),
    unique=True,
)
CLOSED = (STATEMENTS, STATEMENT_ALLOWANCES, STATEMENT_RECORDS)
"""The tables of closed statements."""

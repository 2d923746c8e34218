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

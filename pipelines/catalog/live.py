"""The tables of `pipeline_live.duckdb`: observations that no run has merged yet. See `live/staging.py`.

They are not part of the warehouse; only livehouse reads them.
"""

from pipelines.catalog.core import LIVE_OBSERVATIONS, OBSERVED
from pipelines.catalog.shared_columns import APP
from pipelines.catalog.types import Column, Table

RAW_LIVE_OBSERVATIONS = Table(
    "raw",
    "live_observations",
    "Streams on air, one row per stream and poll, until a run has merged it into core.live_observations.",
    LIVE_OBSERVATIONS.key,
    (
        *OBSERVED,
        Column("looked_at", "timestamp", "Start of the poll, UTC"),
        Column("name", "text", "Name of the livestream; NULL if it has none"),
        Column("started_at", "timestamp", "When the session went live, UTC; NULL if it has not yet"),
        Column(
            "is_merged", "flag", "Whether a run has merged the row; kept for two hours, for the last poll and the trend"
        ),
    ),
)
POLLS = Table(
    "ops",
    "looks",
    "The last poll of each app, and its warnings.",
    ("app_id",),
    (
        APP,
        Column("looked_at", "timestamp", "Start of the last successful poll, UTC"),
        Column("tried_at", "timestamp", "Start of the last poll, UTC"),
        Column("said", "text", "Warnings or error of the last poll; NULL if there were none"),  # public name
    ),
    unique=True,
)

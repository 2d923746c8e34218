"""The tables of `pipeline_live.duckdb`: what was seen on air and no run has merged yet. See `live/staging.py`.

They are no part of the warehouse; nobody but livehouse reads them.
"""

from pipelines.catalog.core import LIVE_OBSERVATIONS, OBSERVED
from pipelines.catalog.shared_columns import APP
from pipelines.catalog.types import Column, Table

RAW_LIVE_OBSERVATIONS = Table(
    "raw",
    "live_observations",
    "What was on air, look by look, until a run has merged it into core.live_observations.",
    LIVE_OBSERVATIONS.key,
    (
        *OBSERVED,
        Column("looked_at", "timestamp", "start of the look this row is of, UTC"),
        Column("name", "text", "name of the livestream; NULL where it has none"),
        Column("started_at", "timestamp", "when the session went live, UTC; NULL if it has not yet"),
        Column("is_merged", "flag", "whether a run has merged it; it stays two hours, as the last look and the trend"),
    ),
)
POLLS = Table(
    "ops",
    "looks",
    "When each app was last looked at, and what went wrong since.",
    ("app_id",),
    (
        APP,
        Column("looked_at", "timestamp", "start of the last look that was answered, UTC"),
        Column("tried_at", "timestamp", "start of the last look, UTC"),
        Column("said", "text", "what was out of the ordinary in the last look; NULL if nothing was"),
    ),
    unique=True,
)

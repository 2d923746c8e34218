"""Facts about a session that follow from its record: derived once here, and used by every mart, check and report.

`is_failed`             it carries an error message
`is_live`               started, not stopped, not failed
`ended_at`              when it stopped. A session that failed after its start without a stop ended when its record last
                        changed, if that is not before the start; else the end is unknown (NULL), and the session is
                        never taken for one still on air
`time_to_live_seconds`  started - invoked; a start noted before the invocation counts as 0
`is_provisional`        neither stopped nor failed: its figures may still change in either direction
"""

import polars as pl

from pipelines.catalog.core import LIVESTREAM_SESSIONS

_IS_FAILED = pl.col("err_message").fill_null("") != ""
IS_OVER = pl.col("stopped_at").is_not_null() | _IS_FAILED
"""Whether a session has ended, for frames with its `stopped_at` and `err_message`."""


def add_session_facts(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the derived columns of core.livestream_sessions to frames with its timestamps and err_message."""
    is_started = pl.col("started_at").is_not_null()
    failed_at = pl.when(_IS_FAILED & (pl.col("updated_at") >= pl.col("started_at"))).then("updated_at")
    waited = (pl.col("started_at") - pl.col("invoked_at")).dt.total_microseconds().clip(0) / 1e6
    facts = {
        "is_live": is_started & ~IS_OVER,
        "ended_at": pl.coalesce(pl.col("stopped_at"), failed_at),
        "is_failed": _IS_FAILED,
        "time_to_live_seconds": waited,
        "is_provisional": ~IS_OVER,
    }
    types = LIVESTREAM_SESSIONS.polars_schema
    return rows.with_columns(fact.cast(types[name]).alias(name) for name, fact in facts.items())

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


def add_session_facts(rows: pl.DataFrame) -> pl.DataFrame:
    """Add the derived columns of core.livestream_sessions to frames with its timestamps and err_message."""
    is_failed = pl.col("err_message").fill_null("") != ""
    is_started = pl.col("started_at").is_not_null()
    is_over = pl.col("stopped_at").is_not_null() | is_failed
    failed_at = pl.when(is_failed & (pl.col("updated_at") >= pl.col("started_at"))).then("updated_at")
    waited = (pl.col("started_at") - pl.col("invoked_at")).dt.total_microseconds().clip(0) / 1e6
    facts = {
        "is_live": is_started & ~is_over,
        "ended_at": pl.coalesce(pl.col("stopped_at"), failed_at),
        "is_failed": is_failed,
        "time_to_live_seconds": waited,
        "is_provisional": ~is_over,
    }
    types = LIVESTREAM_SESSIONS.polars_schema
    return rows.with_columns(fact.cast(types[name]).alias(name) for name, fact in facts.items())

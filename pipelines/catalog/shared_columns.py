"""Columns that many tables share."""

from pipelines.catalog.types import Column

APP = Column("app_id", "id", "RealtimeKit app id")
DAY = Column("day", "day", "UTC day")
FETCHED = Column("fetched_at", "timestamp", "When this version of the record was last received, UTC")
RUN = Column("run_id", "text", "Dagster run that received or wrote the row")

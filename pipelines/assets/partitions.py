"""The days of the partitions: from LIVEHOUSE_START_DATE until today, UTC."""

import dagster as dg

from pipelines.settings import load_settings

DAYS = dg.DailyPartitionsDefinition(start_date=load_settings().start_date.isoformat(), timezone="UTC", end_offset=1)
"""Today is among them, so that a day can be looked at before it is over; the nightly run loads it again."""

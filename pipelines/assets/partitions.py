"""The days of the partitions: from LIVEHOUSE_START_DATE until today, UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Any

import dagster as dg

from pipelines.settings import load_settings


class _Days(dg.DailyPartitionsDefinition):
    """Days whose keys are made once: Dagster wants all of them twice a step, and walks the calendar each time."""

    def get_partition_keys(
        self,
        current_time: datetime | None = None,
        dynamic_partitions_store: Any = None,  # noqa: ANN401 - a protocol of Dagster's that it does not export
    ) -> Sequence[str]:
        """Every day up to the one of that moment, or of now."""
        with dg.partition_loading_context(current_time, dynamic_partitions_store) as context:
            return self._keys_until(context.effective_dt.astimezone(UTC).date())

    @cache  # noqa: B019 - there is one of it
    def _keys_until(self, today: date) -> Sequence[str]:
        return super().get_partition_keys(datetime.combine(today, time(12), UTC))


DAYS = _Days(start_date=load_settings().start_date.isoformat(), timezone="UTC", end_offset=1)
"""Today is among them, so that a day can be looked at before it is over; the nightly run loads it again."""

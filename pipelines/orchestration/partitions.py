"""The days of the partitions: from LIVEHOUSE_START_DATE, or in `livehouse ui` the first day with data, until today, UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import dagster as dg

from pipelines.catalog.streams import FACTS
from pipelines.clock import today
from pipelines.settings.settings import Settings


class _Days(dg.DailyPartitionsDefinition):
    """Daily partitions with cached keys: Dagster lists all keys twice per step, and walks the calendar each time."""

    def get_partition_keys(
        self,
        current_time: datetime | None = None,
        dynamic_partitions_store: Any = None,  # noqa: ANN401 - a protocol of Dagster's that it does not export
    ) -> Sequence[str]:
        """Return every day up to the day of `current_time`, or up to today."""
        with dg.partition_loading_context(current_time, dynamic_partitions_store) as context:
            return self._keys_until(context.effective_dt.astimezone(UTC).date())

    @cache  # noqa: B019 - one instance per first day, and it lives as long as the process
    def _keys_until(self, today: date) -> Sequence[str]:
        return super().get_partition_keys(datetime.combine(today, time(12), UTC))


@cache
def days_since(first: date) -> dg.DailyPartitionsDefinition:
    """Return the partitions from the first day to today. A day can be loaded before it is over; nightly runs reload it."""
    return _Days(start_date=first.isoformat(), timezone="UTC", end_offset=1)


DAYS = days_since(Settings.model_fields["start_date"].default)
"""The partitions in the declarations of assets: `start_partitions_on` replaces the first day by that of the settings."""


def start_partitions_on(first: date, asset: dg.AssetSpec) -> dg.AssetSpec:
    """Return an asset whose partitions, if it has any, begin with `first`."""
    return asset.replace_attributes(partitions_def=days_since(first)) if asset.partitions_def else asset


def find_first_day(settings: Settings, instance: dg.DagsterInstance) -> date:
    """Return the first day that is loaded or can be: earlier partitions would be "Missing" for ever.

    The API keeps data for LIVEHOUSE_RETENTION_DAYS days. A LIVEHOUSE_START_DATE that is set is kept.
    """
    if "start_date" in settings.model_fields_set:
        return settings.start_date
    loaded = (instance.get_materialized_partitions(dg.AssetKey([table.schema, table.name])) for table in FACTS)
    first_loaded = [date.fromisoformat(min(days)) for days in loaded if days]
    return min([*first_loaded, max(settings.start_date, today() - timedelta(days=settings.retention_days))])

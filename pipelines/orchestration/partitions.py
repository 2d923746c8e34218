"""The days of the partitions: from LIVEHOUSE_START_DATE until today, UTC."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from functools import cache
from typing import Any

import dagster as dg

from pipelines.settings.settings import Settings


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


@cache
def days_since(first: date) -> dg.DailyPartitionsDefinition:
    """Every day from the first one to today: a day can be looked at before it is over; nightly runs load it again."""
    return _Days(start_date=first.isoformat(), timezone="UTC", end_offset=1)


DAYS = days_since(Settings.model_fields["start_date"].default)
"""What the assets are declared with; `starting_on` replaces the first day by that of the settings."""


def starting_on(first: date, asset: dg.AssetSpec) -> dg.AssetSpec:
    """Return an asset whose days, if it has any, begin with `first`."""
    return asset.replace_attributes(partitions_def=days_since(first)) if asset.partitions_def else asset

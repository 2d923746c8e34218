"""Keeps rows that a step has normalized for a later step of the same run, if they are few."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from pipelines.catalog.types import Table
from pipelines.load.raw_versions import last_landing
from pipelines.normalize.resolve import Normalized
from pipelines.storage.warehouse import Warehouse

_MOST_ROWS = 20_000
"""Rows that are kept at most, of all tables and apps: a few megabytes."""

Days = list[date | None]


@dataclass(frozen=True)
class _Kept:
    landings_of_others: int
    days: Days
    found: Normalized


@dataclass
class KeptRows:
    """The rows of some days by table and app, until raw records of the app change, or another run lands any."""

    _kept: dict[tuple[str, str], _Kept] = field(default_factory=dict)
    _own_landings: int = 0

    def count_landings_of_others(self, warehouse: Warehouse) -> int:
        """Return how many landings the raw tables have besides those of this run."""
        with warehouse.open_raw() as connection:
            return last_landing(connection)[0] - self._own_landings

    def keep(self, landings_of_others: int, table: Table, app_id: str, days: Days, found: Normalized) -> None:
        """Keep rows if there is room. `landings_of_others`: counted before raw was read."""
        if found.rows.height + sum(each.found.rows.height for each in self._kept.values()) <= _MOST_ROWS:
            self._kept[table.full_name, app_id] = _Kept(landings_of_others, [*days], found)

    def take(self, warehouse: Warehouse, table: Table, app_id: str, days: Days) -> Normalized | None:
        """Return the rows of exactly these days, once; None if they are not kept any more."""
        kept = self._kept.pop((table.full_name, app_id), None)
        if kept is None or kept.days != days or kept.landings_of_others != self.count_landings_of_others(warehouse):
            return None
        return kept.found

    def note_landing(self, app_ids: Iterable[str]) -> None:
        """Forget the rows of apps whose records this run has landed."""
        self._own_landings += 1
        self.forget(app_ids)

    def forget(self, app_ids: Iterable[str]) -> None:
        """Forget the rows of apps whose raw records have changed."""
        changed = set(app_ids)
        self._kept = {key: kept for key, kept in self._kept.items() if key[1] not in changed}

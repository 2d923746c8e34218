"""Keeps what a step has computed from raw records for a later step of the same run, until these records change."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Generic, TypeVar

Value = TypeVar("Value")

Days = list[date | None]


@dataclass(frozen=True)
class _Kept(Generic[Value]):
    landings_of_others: int
    days: Days
    value: Value
    rows: int


@dataclass
class KeptResults(Generic[Value]):
    """Results about some days, by table and app. `max_rows` bounds what is kept of all tables and apps."""

    max_rows: int
    _kept: dict[tuple[str, str], _Kept[Value]] = field(default_factory=dict)

    def keep(
        self, table: str, app_id: str, days: Sequence[date | None], value: Value, *, rows: int, landings_of_others: int
    ) -> None:
        """Keep a result if there is room. `landings_of_others`: those of other runs when it was computed."""
        if rows + sum(kept.rows for kept in self._kept.values()) <= self.max_rows:
            self._kept[table, app_id] = _Kept(landings_of_others, [*days], value, rows)

    def holds(self, table: str, app_id: str) -> bool:
        """Whether a result is kept, which saves counting landings where nothing is."""
        return (table, app_id) in self._kept

    def take(self, table: str, app_id: str, days: Sequence[date | None], *, landings_of_others: int) -> Value | None:
        """Return the result about exactly these days, once; None if it is not kept, or other runs have landed since."""
        kept = self._kept.pop((table, app_id), None)
        is_current = kept is not None and (kept.days, kept.landings_of_others) == ([*days], landings_of_others)
        return kept.value if kept and is_current else None

    def forget(self, app_ids: Collection[str]) -> None:
        """Forget the results about apps whose raw records have changed."""
        self._kept = {key: kept for key, kept in self._kept.items() if key[1] not in app_ids}

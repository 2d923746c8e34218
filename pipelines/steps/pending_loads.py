"""Loads of a run that are not in ops.loads yet: a short night writes them in one transaction."""

import time
from functools import partial

from pipelines.load.days import note_loads
from pipelines.storage.warehouse import Warehouse

_MAX_SECONDS = 60.0
"""A run that is killed loses the entries of this time. They describe its work; what it landed and loaded is kept."""


class PendingLoads:
    """Collects rows of ops.loads. A step that reads that table calls `write` first."""

    def __init__(self, warehouse: Warehouse) -> None:
        """Begin without loads."""
        self._warehouse = warehouse
        self._loads: list[dict[str, object]] = []
        self._written_at = time.monotonic()

    def add(self, loads: list[dict[str, object]]) -> None:
        """Add loads; write all if the last time was a minute ago."""
        self._loads += loads
        if time.monotonic() >= self._written_at + _MAX_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is pending."""
        if self._loads:
            self._warehouse.write(partial(note_loads, loads=self._loads))
        self._loads = []
        self._written_at = time.monotonic()

"""The warehouses that tests of storage use too."""

from tests.storage.conftest import made_once, start, store, warehouse

__all__ = ("made_once", "start", "store", "warehouse")

"""Finds the warehouse that commands read: that of the settings, or the demo's."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.settings.settings import Settings
    from pipelines.storage.warehouse import Warehouse


def find_published(settings: "Settings") -> tuple["Warehouse", Path]:
    """Return the warehouse and the home to read: those of the settings, or of the demo if nothing else is loaded."""
    from pipelines.cli.demo import find_demo_to_show
    from pipelines.storage.file_warehouse import FileWarehouse
    from pipelines.storage.warehouse import open_readers_warehouse

    demo = find_demo_to_show(settings)
    return (
        (FileWarehouse(demo / "warehouse.duckdb"), demo) if demo else (open_readers_warehouse(settings), settings.home)
    )

"""The number of threads that DuckDB uses for the pipeline's files."""

import os
from pathlib import Path

import pytest

from pipelines.storage import file_warehouse
from pipelines.storage.file_warehouse import FileWarehouse


def test_small_files_are_read_by_one_thread_and_large_ones_by_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    warehouse = FileWarehouse(tmp_path / "warehouse.duckdb")

    def threads() -> int:
        with warehouse.open_working() as connection:
            [(number,)] = connection.execute("SELECT current_setting('threads')").fetchall()
        return int(number)

    with warehouse.keep_open():
        assert threads() == 1
        monkeypatch.setattr(file_warehouse, "_SMALL_BYTES", 1_000)
        assert threads() == 2

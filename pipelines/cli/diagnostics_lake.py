"""The checks of `livehouse doctor` on the files of a lakehouse: lost ones, unreferenced ones, and the free space."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.diagnostics_api import Finding
from pipelines.storage.lake_files import (
    MAX_FILES,
    DamagedFile,
    count_files,
    count_orphans,
    find_damaged_files,
    is_storage_missing,
)

if TYPE_CHECKING:
    from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse

MIN_FREE_BYTES = 2**30
_FILES_NAMED = 5


def check_lake_files(lakehouse: "DuckLakeWarehouse") -> Iterator[Finding]:
    """Compare the catalog with the storage, in both directions."""
    directory = lakehouse.data_path()
    with lakehouse.connect_catalog(is_reader=True) as session:
        number = count_files(session)
        if number > MAX_FILES:
            yield Finding("ok", "files", f"{number:,} files, too many to compare with the storage")
            return
        damaged = find_damaged_files(session, lakehouse.list_stored_names)
        orphans = 0 if damaged else count_orphans(session, directory, lakehouse.list_stored_names())
    if is_storage_missing(damaged, number):
        yield Finding("fault", "files", f"none of {number:,} files is in {directory}", "mount or restore it")
    elif damaged:
        yield Finding(
            "fault",
            "files",
            f"{len(damaged):,} of {number:,} files cannot be read: {_name_files(damaged)}",
            "restore them from a backup, or run `livehouse mend`, which rebuilds their rows and names what is lost",
        )
    else:
        unreferenced = f", {orphans:,} that no table refers to, which `livehouse upkeep` removes" if orphans else ""
        yield Finding("ok", "files", f"{number:,} files in {directory}{unreferenced}")
    if "://" not in directory:
        yield from _check_space(Path(directory))


def _check_space(directory: Path) -> Iterator[Finding]:
    if not directory.is_dir():
        yield Finding("fault", "files", f"{directory} does not exist on this machine", "mount the shared directory")
    elif (free := shutil.disk_usage(directory).free) < MIN_FREE_BYTES:
        remedy = f"free {MIN_FREE_BYTES >> 20} MiB, or run `livehouse upkeep` to remove what was replaced"
        yield Finding("warning", "disk", f"{free >> 20} MiB free in {directory}", remedy)


def _name_files(files: Sequence[DamagedFile]) -> str:
    places = list(dict.fromkeys(f"{file.place} ({file.problem})" for file in files))
    more = f" and {len(places) - _FILES_NAMED} more" if len(places) > _FILES_NAMED else ""
    return ", ".join(places[:_FILES_NAMED]) + more

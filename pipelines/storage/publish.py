"""Publish the warehouse: replace the readers' copy atomically. A reader that has the old copy open keeps it.

Three traps, each met once:
- Copying an open file drops its lock, and a second writer gets in. So the working file is closed first.
- DuckDB replays a `.wal` beside the target, left by a reader that wrote into the old copy, into the new one. So the
  `.wal` is deleted first.
- A rename without fsync can leave an empty file after a power failure.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import duckdb

from pipelines.errors import WarehouseError
from pipelines.files import TEMPORARY_PREFIX, find_target, remove_temporary_directories
from pipelines.storage.duckdb_errors import translate_duckdb_errors, translate_errors
from pipelines.storage.extensions import FILE_READER, Config


def _temporary_copy(published: Path) -> Path:
    return published.with_name(f"{published.name}.publishing")


def remove_unfinished(published: Path, written: Sequence[Path]) -> None:
    """Remove what an interrupted run left behind: partial copies, and what DuckDB had spilled to disk."""
    target = find_target(published)
    with translate_errors(published.parent):
        _temporary_copy(target).unlink(missing_ok=True)
    for file in written:
        shutil.rmtree(file.with_name(f"{file.name}.tmp"), ignore_errors=True)
    for directory in {published.parent, target.parent}:
        remove_temporary_directories(directory, {published.name, target.name, *(file.name for file in written)})


def publish(working: Path, published: Path) -> int:
    """Replace the readers' copy by a copy of the working file, which must be checkpointed and closed. Returns its size in bytes.

    If `published` is a symbolic link, its target is replaced, on the target's disk.
    """
    published = find_target(published)
    unfinished = _temporary_copy(published)
    with translate_errors(published):
        try:
            shutil.copyfile(working, unfinished)
            if published.exists():
                shutil.copymode(published, unfinished)  # keep the permissions that an administrator has set
            with unfinished.open("rb") as copied:
                os.fsync(copied.fileno())
            published.with_name(f"{published.name}.wal").unlink(missing_ok=True)
            unfinished.replace(published)
            _sync_directory(published.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    return published.stat().st_size


def is_open_for_writing(published: Path) -> bool:
    """Whether another process has the readers' copy open read-write: DuckDB then locks the file."""
    if not published.is_file():
        return False
    with translate_errors(published), published.open("rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def open_published(path: Path, config: Config = FILE_READER) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the readers' copy, read-only and, by the default settings, without access to any other file."""
    if not path.exists():
        raise WarehouseError(
            f"{path} does not exist: nothing has been published yet; run `livehouse nightly`, or `livehouse demo` for simulated figures"
        )
    if not path.is_file():
        raise WarehouseError(f"{path} is not a file: move it away")
    with translate_duckdb_errors(path), _alias_without_wal(path) as alias:
        connection = duckdb.connect(alias, read_only=True, config=config)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")  # it would write to stdout
            if config is FILE_READER:
                connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


@contextmanager
def _alias_without_wal(path: Path) -> Iterator[Path]:
    """Yield a path to the file that has no `.wal` beside it.

    A .wal belongs to a writer of an older copy; DuckDB would replay it into this one. DuckDB follows symbolic links to
    find the .wal, so the alias is a hard link.
    """
    path = find_target(path)
    if not path.with_name(f"{path.name}.wal").exists():
        yield path
        return
    with ExitStack() as cleanup:
        try:
            directory = tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir=path.parent)
            alias = Path(cleanup.enter_context(directory)) / path.name
            alias.hardlink_to(path)
        except OSError:  # no permission to write to the directory
            alias = path
        yield alias

"""The readers' copy: a finished file, swapped in whole. Whoever has the old one open keeps it.

Three traps, each met once: copying a file that is open drops its lock, and a second writer gets in, so the
working file is closed before; a `.wal` left beside the target by a reader who wrote into it would be
replayed into the new file, so it goes first; and a rename without fsync can leave an empty file after a
power cut.
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
from pipelines.files import PASSING, find_target, remove_passing
from pipelines.storage.duckdb_errors import translate_duckdb_errors, translate_errors
from pipelines.storage.extensions import FILE_READER


def _unfinished(published: Path) -> Path:
    return published.with_name(f"{published.name}.publishing")


def clear_unfinished(published: Path, written: Sequence[Path]) -> None:
    """Remove what a run that was cut off left behind: half a copy, and what DuckDB had spilled to disk."""
    target = find_target(published)
    with translate_errors(published.parent):
        _unfinished(target).unlink(missing_ok=True)
    for file in written:
        shutil.rmtree(file.with_name(f"{file.name}.tmp"), ignore_errors=True)
    for directory in {published.parent, target.parent}:
        remove_passing(directory, {published.name, target.name, *(file.name for file in written)})


def publish(working: Path, published: Path) -> int:
    """Swap a copy of the working file, which nobody has open, in for readers. Returns its size in bytes.

    Where `published` is a symbolic link, what it leads to is replaced, on the disk where that is.
    """
    published = find_target(published)
    unfinished = _unfinished(published)
    with translate_errors(published):
        # A killed run leaves a log beside the working file; opening it to checkpoint folds it in.
        duckdb.connect(working).execute("CHECKPOINT").close()
        try:
            shutil.copyfile(working, unfinished)
            if published.exists():
                shutil.copymode(published, unfinished)  # who may read it was somebody's decision
            with unfinished.open("rb") as copied:
                os.fsync(copied.fileno())
            published.with_name(f"{published.name}.wal").unlink(missing_ok=True)
            unfinished.replace(published)
            _sync_directory(published.parent)
        finally:
            unfinished.unlink(missing_ok=True)
    return published.stat().st_size


def is_written_to(published: Path) -> bool:
    """Whether another process has the readers' copy open read-write; DuckDB then holds a lock on it."""
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
def open_published(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the readers' copy, read-only, shut off from every other file."""
    if not path.exists():
        raise WarehouseError(f"{path} does not exist: nothing was published yet; run `livehouse nightly`")
    if not path.is_file():
        raise WarehouseError(f"{path} is no file: move away what is in its place")
    with translate_duckdb_errors(path), _without_log(path) as alone:
        connection = duckdb.connect(alone, read_only=True, config=FILE_READER)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET lock_configuration = true")
            yield connection
        finally:
            connection.close()


@contextmanager
def _without_log(path: Path) -> Iterator[Path]:
    """Another name of the file, where a log lies beside it.

    The log is somebody's who writes into the copy he has, perhaps one that was replaced long ago: DuckDB would
    replay it into this one. It follows symbolic links to find the log, but cannot follow a hard one.
    """
    path = find_target(path)
    if not path.with_name(f"{path.name}.wal").exists():
        yield path
        return
    with ExitStack() as undone:
        try:
            directory = tempfile.TemporaryDirectory(prefix=PASSING, dir=path.parent)
            alias = Path(undone.enter_context(directory)) / path.name
            alias.hardlink_to(path)
        except OSError:  # a directory that only others may write to
            alias = path
        yield alias

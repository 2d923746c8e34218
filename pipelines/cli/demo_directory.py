"""Create the directory of the demo, and empty it of the files of an earlier demo. No other file is ever removed."""

import re
import shutil
from contextlib import suppress
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from pipelines.errors import AlreadyRunningError, UsageError, WarehouseError
from pipelines.storage.duckdb_errors import translate_errors
from pipelines.storage.lock import lock_holder
from pipelines.storage.migrations import LIST_COLUMNS

MARKER = "livehouse_demo.txt"
_MARKED = "Made by `livehouse demo`, which deletes the files it made here when it runs again.\n"

_LOCK = "pipeline.lock"
_DATABASES = ("pipeline.duckdb", "pipeline_raw.duckdb", "pipeline_live.duckdb", "warehouse.duckdb")
_FILE = re.compile(
    r"|".join(
        (
            rf"({'|'.join(map(re.escape, _DATABASES))})(\.wal|\.publishing|\.tmp)?",
            r"report\.html",
            r"\.report\.html\.\w{8}(\.tmp)?",
            r"pipeline_live\.lock",
            r"\.livehouse-(passing-)?\w{8}",
            r"cache/(lock|\.?marts\.json(\.\d+)?|charts-[0-9a-f]{16}\.json|tmp\w{8}|\.charts-\w{8}\.tmp)",
            r"dagster/(\.?dagster\.yaml(\.\d+)?|running|setup\.lock|history|schedules|storage|logs|\.logs_queue|\.nux|\.telemetry)",
        )
    )
)
"""The files of a demo and of later commands on it, by their paths in the directory; a directory is removed completely."""
_SUBDIRECTORIES = ("cache", "dagster")


def prepare_demo_directory(home: Path, apps: tuple[str, ...]) -> None:
    """Create the directory, or remove the files of an earlier demo of `apps`.

    Raises `UsageError`, and removes nothing, if it is not a demo's directory or contains figures of another account.
    """
    _check_is_directory(home)
    try:
        home.mkdir(parents=True, exist_ok=True)
        entries = {entry.name for entry in home.iterdir()} - {_LOCK}
        if entries:
            _check_is_demo(home, entries)  # before the lock, which is a file in it
            with FileLock(home / _LOCK, timeout=0):
                _check_is_of_demo_apps(home, apps)
                _remove_demo(home)
        (home / MARKER).write_text(_MARKED, encoding="utf-8")
    except Timeout:
        raise AlreadyRunningError(
            f"{lock_holder(home / _LOCK)} is writing to {home}: wait until that demo has finished, or end it"
        ) from None
    except OSError as error:
        raise WarehouseError(
            f"{error.filename or home}: {error.strerror}; fix its permissions, or set LIVEHOUSE_HOME elsewhere"
        ) from None


def _check_is_directory(home: Path) -> None:
    if home.is_symlink() or (home.exists() and not home.is_dir()):
        raise _foreign(home, "is not a directory that `livehouse demo` made")


def _check_is_demo(home: Path, entries: set[str]) -> None:
    marker = home / MARKER
    is_marked = marker.is_file() and not marker.is_symlink() and marker.read_text("utf-8", "replace") == _MARKED
    # Until 2026-11 demos left no marker: such a directory contains only files that a demo writes.
    if not is_marked and not ("pipeline.duckdb" in entries and all(_is_of_demo(home, name) for name in entries)):
        raise _foreign(home, "was not made by `livehouse demo`")


def _check_is_of_demo_apps(home: Path, apps: tuple[str, ...]) -> None:
    for database in _DATABASES:
        if (home / database).is_file() and (others := _apps_in(home / database) - set(apps)):
            raise _foreign(home, f"contains figures of another account ({database}: app {min(others)})")


def _is_of_demo(home: Path, name: str) -> bool:
    if name not in _SUBDIRECTORIES:
        return bool(_FILE.fullmatch(name))
    part = home / name
    return part.is_dir() and not part.is_symlink() and all(_FILE.fullmatch(f"{name}/{e.name}") for e in part.iterdir())


def _apps_in(database: Path) -> set[str]:
    """Return the apps that have rows in a file of the warehouse."""
    with translate_errors(database), duckdb.connect(database, read_only=True) as connection:
        columns = connection.execute(LIST_COLUMNS).fetchall()
        tables = [f'"{schema}"."{table}"' for schema, table, column in columns if column == "app_id"]
        found = (connection.execute(f"SELECT DISTINCT app_id FROM {table}").fetchall() for table in tables)
        return {str(app_id) for rows in found for (app_id,) in rows if app_id is not None}


def _foreign(home: Path, reason: str) -> UsageError:
    return UsageError(f"{home} {reason}; nothing was changed: move it away, or set LIVEHOUSE_HOME elsewhere")


def _remove_demo(home: Path) -> None:
    """Remove the files of a demo, the marker last, so that the next demo completes an interrupted removal."""
    for part in ("", *_SUBDIRECTORIES):
        directory = home / part
        if directory.is_symlink() or not directory.is_dir():
            continue
        for entry in directory.iterdir():
            if _FILE.fullmatch(f"{part}/{entry.name}" if part else entry.name):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()
        if part:
            with suppress(OSError):  # a user has put a file into it
                directory.rmdir()

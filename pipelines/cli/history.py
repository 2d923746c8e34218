"""Open Dagster's history below `$LIVEHOUSE_HOME/dagster`, with one-line errors if it cannot be used."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import AlreadyRunningError, WarehouseError
from pipelines.settings.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

_STORAGES = {
    "run_storage": ("pipelines.orchestration.run_history", "HomeRunStorage"),
    "event_log_storage": ("pipelines.orchestration.event_log", "BatchedSqliteEventLogStorage"),
    "schedule_storage": ("pipelines.orchestration.run_history", "HomeScheduleStorage"),
}
_HEAD = """\
telemetry:
  enabled: false
nux:
  enabled: false
"""


def _storages_yaml(*names: str) -> str:
    """Return the part of dagster.yaml that configures these storages."""
    return "".join(
        f"{name}:\n  module: {_STORAGES[name][0]}\n  class: {_STORAGES[name][1]}\n"
        "  config:\n    base_dir:\n      env: DAGSTER_HOME\n"
        for name in names
    )


DAGSTER_YAML = _HEAD + _storages_yaml(*_STORAGES)
_EARLIER_YAMLS = (_HEAD + _storages_yaml("event_log_storage"),)
_MOVED_MODULE = re.compile(rb"(?<=module: )pipelines\.assets\.event_log$", re.MULTILINE)
"""The module in the dagster.yaml of livehouse 0.1.0."""
_NO_COMPUTE_LOGS = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
"""Dagster's default redirects stderr into a file while a step runs: progress is invisible, and messages come late."""
_EVENT_BATCH_SIZE = 1000  # see pipelines/orchestration/event_log.py
_LOCK_CHECK_SECONDS = 0.2


def prepare_dagster_home(settings: Settings) -> Path:
    """Create the directory of Dagster's history, and its dagster.yaml."""
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        # An empty or truncated file would enable Dagster's telemetry: the file is replaced atomically.
        if not config.exists() or is_replaceable(config.read_bytes()):
            temporary = config.with_name(f".dagster.yaml.{os.getpid()}")
            temporary.write_text(DAGSTER_YAML)
            temporary.replace(config)
    except OSError as error:
        raise WarehouseError(f"{home} cannot be written: {error.strerror}; set LIVEHOUSE_HOME elsewhere") from None
    return home


def is_replaceable(content: bytes) -> bool:
    """Return whether a dagster.yaml is empty, or unchanged since an earlier version of livehouse wrote it."""
    lines = [line.partition(b"#")[0].strip() for line in content.splitlines()]
    renamed = _MOVED_MODULE.sub(b"pipelines.orchestration.event_log", content)
    return not any(lines) or renamed in [text.encode() for text in _EARLIER_YAMLS]


def build_dagster_environment(settings: Settings) -> dict[str, str]:
    """Return the environment variables that tell a Dagster process where the history is, and disable telemetry."""
    batch_size = os.environ.get("DAGSTER_EVENT_BATCH_SIZE", f"{_EVENT_BATCH_SIZE}")
    return {
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_EVENT_BATCH_SIZE": batch_size,
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def open_history(settings: Settings) -> "DagsterInstance":
    """Open Dagster's history, and create it if it is missing.

    Raises `WarehouseError` if it cannot be used, `AlreadyRunningError` if another program keeps it locked.
    """
    from filelock import FileLock

    from pipelines.orchestration.deferred_imports import defer_unused_imports, use_plain_paths

    with defer_unused_imports():
        from dagster import DagsterInstance
        from dagster._core.instance.ref import InstanceRef

        from pipelines.orchestration import event_log, run_history  # noqa: F401 - the storages of dagster.yaml
        from pipelines.orchestration.packaged_history import create_history
        from pipelines.orchestration.sqlite_files import has_schema, read_migrations_once

    home = prepare_dagster_home(settings)
    _wait_until_unlocked(home, settings.lock_wait_seconds)
    with translate_history_errors(home), FileLock(home / "setup.lock"):  # two first runs would both create the database
        overrides: dict[str, Any] = {"compute_logs": _NO_COMPUTE_LOGS, "telemetry": {"enabled": False}}
        # `env: DAGSTER_HOME` is for Dagster's own processes: this process knows the directory.
        if (home / "dagster.yaml").read_text(encoding="utf-8", errors="replace") == DAGSTER_YAML:
            for name, (module, class_name) in _STORAGES.items():
                overrides[name] = {"module": module, "class": class_name, "config": {"base_dir": str(home)}}
        with _translate_config_errors(home):
            reference = InstanceRef.from_dir(str(home), overrides=overrides)
        create_history(home)
        is_new = not all(has_schema(file) for file in history_files(home))
        with use_plain_paths(), read_migrations_once() if is_new else nullcontext():
            instance = DagsterInstance.from_ref(reference)
        # Dagster reads this from the environment only (DAGSTER_EVENT_BATCH_SIZE).
        instance._get_event_batch_size = lambda: _EVENT_BATCH_SIZE  # type: ignore[method-assign]  # noqa: SLF001 - same
        instance.get_runs(limit=1)
        instance.event_log_storage.get_maximum_record_id()
    return instance


def history_files(home: Path) -> list[Path]:
    """Return the SQLite files that every run writes to."""
    return [home / "history" / "runs.db", home / "history" / "runs" / "index.db", home / "schedules" / "schedules.db"]


def _wait_until_unlocked(home: Path, wait_seconds: float) -> None:
    """Wait for a program that has the history locked, and log once which one it is."""
    import sqlite3

    from pipelines.orchestration.sqlite_files import describe_holders
    from pipelines.telemetry.logs import log

    deadline, is_reported = time.monotonic() + wait_seconds, False
    for file in history_files(home):
        while file.is_file():
            try:
                with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("ROLLBACK")
                break
            except sqlite3.Error as error:
                if error.sqlite_errorname not in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
                    break  # damaged, or not readable: reported when it is opened
            if not is_reported:
                is_reported = True
                log(f"waiting for {describe_holders(file)}, which has {file} locked")
            if time.monotonic() > deadline:
                raise AlreadyRunningError(
                    f"{describe_holders(file)} still has {file} locked after {wait_seconds:.0f} s:"
                    " wait for it or end it, then run again"
                )
            time.sleep(_LOCK_CHECK_SECONDS)


def check_config(home: Path) -> None:
    """Raise `WarehouseError` if Dagster does not accept the dagster.yaml in its home."""
    from dagster._core.instance.ref import InstanceRef

    with _translate_config_errors(home):
        InstanceRef.from_dir(str(home))


@contextmanager
def _translate_config_errors(home: Path) -> Iterator[None]:
    """Turn Dagster's error about a dagster.yaml into a one-line `WarehouseError`."""
    from yaml import YAMLError

    config, remedy = home / "dagster.yaml", "correct it, or move it away: the next run writes a new one"
    try:
        yield
    except OSError:
        raise
    except YAMLError:
        raise WarehouseError(f"{config} is not valid YAML; {remedy}") from None
    except Exception as error:  # noqa: BLE001 - the file may contain anything, and Dagster raises many classes
        message = " ".join(str(error).split())[:200]
        raise WarehouseError(f"{config} is not accepted by Dagster: {message}; {remedy}") from None


@contextmanager
def translate_history_errors(home: Path) -> Iterator[None]:
    """Turn database errors about a full disk, a locked or an unusable file into one-line errors."""
    from sqlalchemy.exc import DatabaseError

    from pipelines.orchestration.sqlite_files import describe_holders

    try:
        yield
    except DatabaseError as error:
        message = str(error.orig).partition("\n")[0]
        if "locked" in message:
            holders = {describe_holders(file) for file in history_files(home)} - {"another program"}
            who = " and ".join(sorted(holders)) or "another program"
            raise AlreadyRunningError(
                f"{home}: {who} has the history of runs locked: wait for it or end it, then run again"
            ) from None
        remedy = (
            "free some disk space and run again; landed data is kept"
            if "full" in message or "I/O" in message
            else "fix its permissions, or move it away: it contains the history of runs and no figures"
        )
        raise WarehouseError(f"{home}: {message}; {remedy}") from None
    except OSError as error:
        raise WarehouseError(f"{error.filename or home}: {error.strerror}; fix its permissions") from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "alembic":  # which is imported only if it is needed
            raise
        raise WarehouseError(
            f"{home / 'history'} was written by a newer Dagster: install that version, or move it away: it contains no figures"
        ) from None

"""Opens Dagster's history below `$LIVEHOUSE_HOME/dagster`, and says in one line why it cannot be used."""

import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
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


def _in_yaml(*names: str) -> str:
    """Return the part of dagster.yaml that names some of the storages."""
    return "".join(
        f"{name}:\n  module: {_STORAGES[name][0]}\n  class: {_STORAGES[name][1]}\n"
        "  config:\n    base_dir:\n      env: DAGSTER_HOME\n"
        for name in names
    )


DAGSTER_YAML = _HEAD + _in_yaml(*_STORAGES)
_OF_EARLIER_VERSIONS = (_HEAD + _in_yaml("event_log_storage"),)
_IN_THIS_TERMINAL = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
"""Else Dagster turns stderr into a file while a step runs: no progress would be seen, and messages come late."""
_EVENT_BATCH_SIZE = 1000  # see pipelines/orchestration/event_log.py
_LOOK_AGAIN_SECONDS = 0.2


def prepare_dagster_home(settings: Settings) -> Path:
    """Make the directory of Dagster's history."""
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        # An empty file switches Dagster's telemetry on, and so would half of one: it is there whole or not at all.
        if not config.exists() or is_replaceable(config.read_bytes()):
            begun = config.with_name(f".dagster.yaml.{os.getpid()}")
            begun.write_text(DAGSTER_YAML)
            begun.replace(config)
    except OSError as error:
        raise WarehouseError(f"{home} cannot be written: {error.strerror}; set LIVEHOUSE_HOME elsewhere") from None
    return home


def is_replaceable(content: bytes) -> bool:
    """Whether a dagster.yaml says nothing, or what an earlier version wrote."""
    lines = [line.partition(b"#")[0].strip() for line in content.splitlines()]
    return not any(lines) or content in [text.encode() for text in _OF_EARLIER_VERSIONS]


def dagster_variables(settings: Settings) -> dict[str, str]:
    """Return the environment variables that point a process of Dagster's at the history, and keep telemetry off."""
    batch_size = os.environ.get("DAGSTER_EVENT_BATCH_SIZE", f"{_EVENT_BATCH_SIZE}")
    return {
        "DAGSTER_HOME": str(settings.dagster_home),
        "DAGSTER_EVENT_BATCH_SIZE": batch_size,
        "DAGSTER_DISABLE_TELEMETRY": "yes",
    }


def open_history(settings: Settings) -> "DagsterInstance":
    """Open Dagster's history, made where it is missing. Raises `WarehouseError` where it cannot be used."""
    from dagster import DagsterInstance
    from dagster._core.instance.ref import InstanceRef
    from filelock import FileLock

    home = prepare_dagster_home(settings)
    _wait_until_unlocked(home, settings.lock_wait_seconds)
    with history_explained(home), FileLock(home / "setup.lock"):  # two first runs would both create its database
        overrides: dict[str, Any] = {"compute_logs": _IN_THIS_TERMINAL, "telemetry": {"enabled": False}}
        # `env: DAGSTER_HOME` is for Dagster's own processes: this one knows the directory.
        if (home / "dagster.yaml").read_text(encoding="utf-8", errors="replace") == DAGSTER_YAML:
            for name, (module, class_name) in _STORAGES.items():
                overrides[name] = {"module": module, "class": class_name, "config": {"base_dir": str(home)}}
        with _config_explained(home):
            reference = InstanceRef.from_dir(str(home), overrides=overrides)
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
    """Wait for a program that has the history locked, and say once which one it is."""
    import sqlite3

    from pipelines.orchestration.sqlite_files import describe_holders
    from pipelines.steps.progress import log

    deadline, is_told = time.monotonic() + wait_seconds, False
    for file in history_files(home):
        while file.is_file():
            try:
                with closing(sqlite3.connect(file, timeout=0, isolation_level=None)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("ROLLBACK")
                break
            except sqlite3.Error as error:
                if error.sqlite_errorname not in {"SQLITE_BUSY", "SQLITE_LOCKED"}:
                    break  # damaged, or not ours to read: told when it is opened
            if not is_told:
                is_told = True
                log(f"waiting for {describe_holders(file)}, which has {file} locked")
            if time.monotonic() > deadline:
                raise AlreadyRunningError(
                    f"{describe_holders(file)} still has {file} locked after {wait_seconds:.0f} s:"
                    " wait for it or end it, then run again"
                )
            time.sleep(_LOOK_AGAIN_SECONDS)


def check_config(home: Path) -> None:
    """Raise `WarehouseError` where Dagster does not accept the dagster.yaml in its home."""
    from dagster._core.instance.ref import InstanceRef

    with _config_explained(home):
        InstanceRef.from_dir(str(home))


@contextmanager
def _config_explained(home: Path) -> Iterator[None]:
    """Turn what Dagster says of a dagster.yaml that it does not accept into one line."""
    from yaml import YAMLError

    config, remedy = home / "dagster.yaml", "correct it, or move it away: it is then written again"
    try:
        yield
    except OSError:
        raise
    except YAMLError:
        raise WarehouseError(f"{config} is no YAML; {remedy}") from None
    except Exception as error:  # noqa: BLE001 - of many classes: the file may hold anything
        said = " ".join(str(error).split())[:200]
        raise WarehouseError(f"{config} is not accepted by Dagster: {said}; {remedy}") from None


@contextmanager
def history_explained(home: Path) -> Iterator[None]:
    """Turn what Dagster's database says of a full disk, or of a file it cannot use, into one line."""
    from alembic.util import CommandError
    from sqlalchemy.exc import DatabaseError

    from pipelines.orchestration.sqlite_files import describe_holders

    try:
        yield
    except DatabaseError as error:
        said = str(error.orig).partition("\n")[0]
        if "locked" in said:
            holders = {describe_holders(file) for file in history_files(home)} - {"another program"}
            who = " and ".join(sorted(holders)) or "another program"
            raise AlreadyRunningError(
                f"{home}: {who} has the history of runs locked: wait for it or end it, then run again"
            ) from None
        remedy = (
            "free some disk space and run again; what was landed stays"
            if "full" in said or "I/O" in said
            else "fix its permissions, or move it away: it holds the history of runs and no figures"
        )
        raise WarehouseError(f"{home}: {said}; {remedy}") from None
    except CommandError:
        raise WarehouseError(
            f"{home / 'history'} was written by a newer Dagster: install that one, or move it away: it holds no figures"
        ) from None
    except OSError as error:
        raise WarehouseError(f"{error.filename or home}: {error.strerror}; fix its permissions") from None

"""Runs a Dagster job in this process, in the same history that the UI shows, and says how it went."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import LivehouseError, UsageError, WarehouseError
from pipelines.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

_EVENT_LOG = {"module": "pipelines.assets.event_log", "class": "BatchedSqliteEventLogStorage"}
_DAGSTER_YAML = f"""\
telemetry:
  enabled: false
nux:
  enabled: false
event_log_storage:
  module: {_EVENT_LOG["module"]}
  class: {_EVENT_LOG["class"]}
  config:
    base_dir:
      env: DAGSTER_HOME
"""
_IN_THIS_TERMINAL = {"module": "dagster._core.storage.noop_compute_log_manager", "class": "NoOpComputeLogManager"}
"""Else Dagster turns stderr into a file while a step runs: no progress would be seen, and messages come late."""
_EVENT_BATCH_SIZE = 1000  # see pipelines/assets/event_log.py


@dataclass(frozen=True)
class Outcome:
    """How a run went. `errors` is empty when it succeeded."""

    run_id: str
    errors: list[LivehouseError]
    warnings: list[str]
    """What checks found odd, a line each."""
    caught_up: str | None = None
    """Which earlier days it loaded too, since they were missing."""


def prepare_dagster_home(settings: Settings) -> Path:
    """Make the directory of Dagster's history."""
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists():  # whole or not at all: half of it would switch Dagster's telemetry on
            begun = config.with_name(f".dagster.yaml.{os.getpid()}")
            begun.write_text(_DAGSTER_YAML)
            begun.replace(config)
    except OSError as error:
        raise WarehouseError(f"{home} cannot be written: {error.strerror}; set LIVEHOUSE_HOME elsewhere") from None
    return home


def dagster_variables(settings: Settings) -> dict[str, str]:
    """Return the environment variables that point a process of Dagster's at the history."""
    batch_size = os.environ.get("DAGSTER_EVENT_BATCH_SIZE", f"{_EVENT_BATCH_SIZE}")
    return {"DAGSTER_HOME": str(settings.dagster_home), "DAGSTER_EVENT_BATCH_SIZE": batch_size}


def open_history(settings: Settings) -> "DagsterInstance":
    """Open Dagster's history, made where it is missing. Raises `WarehouseError` where it cannot be used."""
    from dagster import DagsterInstance  # noqa: PLC0415 - 0.8 s
    from dagster._core.instance.ref import InstanceRef  # noqa: PLC0415 - same
    from filelock import FileLock  # noqa: PLC0415 - goes with it

    home = prepare_dagster_home(settings)
    with _history_explained(home), FileLock(home / "setup.lock"):  # two first runs would both create its database
        overrides: dict[str, Any] = {"compute_logs": _IN_THIS_TERMINAL}
        # `env: DAGSTER_HOME` is for Dagster's own processes: this one knows the directory.
        if (home / "dagster.yaml").read_text(encoding="utf-8", errors="replace") == _DAGSTER_YAML:
            overrides["event_log_storage"] = _EVENT_LOG | {"config": {"base_dir": str(home)}}
        instance = DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))
        # Dagster reads this from the environment only (DAGSTER_EVENT_BATCH_SIZE).
        instance._get_event_batch_size = lambda: _EVENT_BATCH_SIZE  # type: ignore[method-assign]  # noqa: SLF001 - same
        instance.get_runs(limit=1)
    return instance


@contextmanager
def _history_explained(home: Path) -> Iterator[None]:
    """Turn what Dagster's database says of a full disk, or of a file it cannot use, into one line."""
    from sqlalchemy.exc import DatabaseError  # noqa: PLC0415 - goes with Dagster
    from yaml import YAMLError  # noqa: PLC0415 - same

    try:
        yield
    except DatabaseError as error:
        said = str(error.orig).partition("\n")[0]
        remedy = (
            "free some disk space and run again; what was landed stays"
            if "full" in said or "I/O" in said
            else "fix its permissions, or move it away: it holds the history of runs and no figures"
        )
        raise WarehouseError(f"{home}: {said}; {remedy}") from None
    except YAMLError:
        raise WarehouseError(f"{home / 'dagster.yaml'} is no YAML: move it away, and it is made anew") from None
    except OSError as error:
        raise WarehouseError(f"{error.filename or home}: {error.strerror}; fix its permissions") from None


def run_job(
    settings: Settings,
    job: str,
    days: tuple[date, date],
    *,
    full: bool = False,
    allow_shrink: bool = False,
    catch_up: bool = True,
) -> Outcome:
    """Run a job over a range of days. Raises only for what keeps it from starting."""
    if days[0] < settings.start_date:
        raise UsageError(
            f"{days[0]} is before LIVEHOUSE_START_DATE ({settings.start_date}): set that to an earlier day"
        )
    from pipelines.report.drawing import CACHE, drawing_made_meanwhile  # noqa: PLC0415 - kept out of --help

    with drawing_made_meanwhile(settings.home / CACHE):  # beginning now: Dagster alone takes a second to import
        instance = open_history(settings)
        from pipelines.assets import house as tag  # noqa: PLC0415 - imports Dagster
        from pipelines.failures import RunFailedError, errors_of, post_failure  # noqa: PLC0415 - imports httpx
        from pipelines.graph import build_definitions  # noqa: PLC0415 - imports Dagster
        from pipelines.sensors import TOLD  # noqa: PLC0415 - imports Dagster

        tags = {tag.RANGE_START: f"{days[0]}", tag.RANGE_END: f"{days[1]}", TOLD: "the command line"}
        tags |= {tag.FULL: "true"} if full else {}
        tags |= {tag.ALLOW_SHRINK: "true"} if allow_shrink else {}
        tags |= {} if catch_up else {tag.CATCH_UP: "false"}
        with _history_explained(settings.dagster_home):
            result = (
                build_definitions(settings)
                .resolve_job_def(job)
                .execute_in_process(
                    instance=instance,
                    tags=tags,
                    raise_on_error=False,
                    run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                )
            )
    warnings = [
        f"{evaluation.asset_key.to_user_string().replace('/', '.')}: "
        f"{(evaluation.description or '').partition('. ')[0]}"  # the UI shows all of it, with the rows
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    run = instance.get_run_by_id(result.run_id)
    caught_up = run.tags.get(tag.CAUGHT_UP) if run else None
    if result.success:
        return Outcome(result.run_id, [], warnings, caught_up)
    errors = errors_of(result.all_events)
    untold = post_failure(settings, job, result.run_id, days, errors)
    return Outcome(result.run_id, errors + ([RunFailedError(untold)] if untold else []), warnings, caught_up)

"""Runs a Dagster job in this process, in the same history that the UI shows, and says how it went."""

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import LivehouseError, SettingsError, UsageError, WarehouseError
from pipelines.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

_DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
event_log_storage:
  module: pipelines.assets.event_log
  class: BatchedSqliteEventLogStorage
  config:
    base_dir:
      env: DAGSTER_HOME
"""
_EVENT_BATCH_SIZE = "1000"  # see pipelines/assets/event_log.py; Dagster asks the environment


@dataclass(frozen=True)
class Outcome:
    """How a run went. `errors` is empty when it succeeded."""

    run_id: str
    errors: list[LivehouseError]
    warnings: list[str]
    """What checks found odd, a line each."""


class RunFailedError(LivehouseError):
    """A run failed for a reason that is already one line."""


def prepare_dagster_home(settings: Settings) -> Path:
    """Make the directory of Dagster's history, and point Dagster at it."""
    home = settings.dagster_home
    try:
        home.mkdir(parents=True, exist_ok=True)
        config = home / "dagster.yaml"
        if not config.exists():
            config.write_text(_DAGSTER_YAML)
    except OSError as error:
        raise WarehouseError(f"{home} cannot be written: {error.strerror}; set LIVEHOUSE_HOME elsewhere") from None
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", _EVENT_BATCH_SIZE)
    return home


def _instance(settings: Settings) -> "DagsterInstance":
    from dagster import DagsterInstance  # noqa: PLC0415 - 0.8 s
    from filelock import FileLock  # noqa: PLC0415 - goes with it

    home = prepare_dagster_home(settings)
    with FileLock(home / "setup.lock"):  # two first runs at once would both create its database
        instance = DagsterInstance.get()
        instance.get_runs(limit=1)
    return instance


def run_job(
    settings: Settings, job: str, days: tuple[date, date], *, full: bool = False, allow_shrink: bool = False
) -> Outcome:
    """Run a job over a range of days. Raises only for what keeps it from starting."""
    if days[0] < settings.start_date:
        raise UsageError(
            f"{days[0]} is before LIVEHOUSE_START_DATE ({settings.start_date}): set that to an earlier day"
        )
    instance = _instance(settings)
    from pipelines.assets.house import ALLOW_SHRINK, FULL, RANGE_END, RANGE_START  # noqa: PLC0415 - imports Dagster
    from pipelines.definitions import defs  # noqa: PLC0415 - imports Dagster

    tags = {RANGE_START: f"{days[0]}", RANGE_END: f"{days[1]}"}
    tags |= {FULL: "true"} if full else {}
    tags |= {ALLOW_SHRINK: "true"} if allow_shrink else {}
    result = defs.resolve_job_def(job).execute_in_process(
        instance=instance,
        tags=tags,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    warnings = [
        f"{evaluation.asset_key.to_user_string().replace('/', '.')} {evaluation.check_name}: {evaluation.description}"
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed
    ]
    return Outcome(result.run_id, [] if result.success else _errors(result.all_events), warnings)


def _errors(events: Any) -> list[LivehouseError]:  # noqa: ANN401 - Dagster's events
    found: list[LivehouseError] = []
    for event in events:
        data = event.event_specific_data
        failure = getattr(data, "user_failure_data", None)
        if failure and failure.description:
            found.append(RunFailedError(failure.description))
        elif (event.is_step_failure or event.is_failure) and getattr(data, "error", None):
            found.append(_innermost(data.error))
    distinct = {str(error): error for error in found}
    known = [error for error in distinct.values() if "caused the run" not in str(error)]
    return known or [RunFailedError("the run failed; its page in `livehouse ui` says why")]


def _innermost(error: Any) -> LivehouseError:  # noqa: ANN401 - Dagster's SerializableErrorInfo
    while error.cause:
        error = error.cause
    said = error.message.strip()
    name, _, text = said.partition(": ")
    if name.startswith("pipelines.errors.") or name.endswith(".events.Failure"):
        text = " ".join(text.split())
        return SettingsError(text) if name.endswith("SettingsError") else RunFailedError(text)
    return RunFailedError(f"a fault of livehouse itself: {' '.join(said.split())[:300]} (see `livehouse ui`)")

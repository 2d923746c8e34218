"""Celery's app of the workers that execute runs: `celery --app pipelines.orchestration.celery_worker worker`.

It is Dagster's app. Celery's worker waits for its task after SIGTERM, for hours if that is a backfill, until it is killed:
every upgrade would leave a run "Started". So this one passes the signal on to the processes of its runs. Dagster ends such
a run as failed, landed data is kept, and `run_retries` starts it again on another worker.
"""

import os
import signal
from contextlib import suppress
from typing import Any

from celery.signals import worker_shutting_down
from celery.worker.state import active_requests
from dagster_celery.app import app

__all__ = ["app"]


@worker_shutting_down.connect
def interrupt_runs(**_: Any) -> None:  # noqa: ANN401 - Celery's keyword arguments, which may become more
    """Send SIGTERM to each process that executes a run."""
    for request in list(active_requests):
        with suppress(ProcessLookupError):
            os.kill(request.worker_pid, signal.SIGTERM)

"""Dagster's launcher for Celery, with which a run that a user terminates becomes "Canceled"."""

import dagster as dg
from dagster._core.launcher import WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher


class CancelingCeleryRunLauncher(CeleryRunLauncher):
    """As Dagster's launcher; `deploy/dagster.yaml` names it."""

    def has_left_queue(self, run: dg.DagsterRun) -> bool:
        """Return whether a worker has taken a run from the queue."""
        return self.check_run_worker_health(run).status != WorkerStatus.UNKNOWN

    def terminate(self, run_id: str) -> bool:
        """Record that a user has requested the end of the run, then send SIGTERM to its process.

        Dagster's own launcher only sends the signal: the run takes it for a shutdown of its machine, fails, and
        `run_retries` starts it again.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status != dg.DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        return super().terminate(run_id)

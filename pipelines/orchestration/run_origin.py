"""The code location of runs, by which Dagster's UI finds them.

Dagster records it only for runs that its own UI or daemon has started. Overview, Jobs and a job's page omit all other
runs (dagster#17707), so a run of the command line gets the code location that `livehouse ui` serves. Dagster's private
API is used: tests/ui/test_graphql.py asks the UI's own queries.
"""

import dagster as dg
from dagster._core.definitions.repository_definition import SINGLETON_REPOSITORY_NAME
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from pipelines.orchestration.run_liveness import ALERTED_BY


def build_job_origin(module: str, job: str) -> RemoteJobOrigin:
    """Return the origin of a job of a module that Dagster's servers load; Dagster names a code location by its module.

    It contains names only: a path would be wrong once the project has moved.
    """
    location = RegisteredCodeLocationOrigin(module)
    return RemoteJobOrigin(RemoteRepositoryOrigin(location, SINGLETON_REPOSITORY_NAME), job)


def add_missing_origins(instance: dg.DagsterInstance, module: str) -> None:
    """Add the origin to the runs of the command line that versions before 2026-11-28 recorded without one."""
    for run in instance.get_runs(dg.RunsFilter(tags={ALERTED_BY: "the command line"})):
        if run.remote_job_origin is None:
            origin = build_job_origin(module, run.job_name)
            instance.add_run_tags(run.run_id, {".dagster/repository": origin.repository_origin.get_label()})
            instance.run_storage.replace_job_origin(run, origin)

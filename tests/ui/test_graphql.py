"""Dagster's UI on runs of the command line: the queries of its pages, sent to the same web app."""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from typing import Any, NamedTuple

import dagster as dg
import httpx
import pytest
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.utils import make_new_run_id
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster_webserver.app import create_app_from_workspace_process_context

from pipelines.cli.history import open_history
from pipelines.clock import today
from pipelines.orchestration.partitions import find_first_day
from pipelines.orchestration.run_origin import add_missing_origins
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.night_runner import LAST, world_of
from tests.pipeline_runner import environment_for, open_published, settings_for
from tests.promises.fault_runner import run_cli
from tests.ui.serving import free_port, served

pytestmark = pytest.mark.long
"""Dagster's web server over a home of several runs."""

MODULE = "pipelines.definitions"
Query = Callable[..., dict[str, Any]]

JOB = {"repositoryName": "__repository__", "repositoryLocationName": MODULE}
OF_REPOSITORY = [{"key": ".dagster/repository", "value": f"__repository__@{MODULE}"}]
TIMELINE = """query CompletedRunTimelineQuery($completedFilter: RunsFilter!, $limit: Int!) {
  completed: runsOrError(filter: $completedFilter, limit: $limit) { ... on Runs { results {
    id pipelineName status repositoryOrigin { id repositoryName repositoryLocationName } } } } }"""
JOBS = """query SingleJobQuery($selector: PipelineSelector!) {
  pipelineOrError(params: $selector) { ... on Pipeline { name runs(limit: 5) { id status } } } }"""
JOB_RUNS = """query RunsFeedRootQuery($limit: Int!, $filter: RunsFilter, $view: RunsFeedView!) {
  runsFeedOrError(limit: $limit, filter: $filter, view: $view) { ... on RunsFeedConnection { results {
    id runStatus jobName tags { key value } ... on Run { hasReExecutePermission repositoryOrigin { repositoryName } } } } } }"""


class Shown(NamedTuple):
    """The UI of a home in which a nightly run has succeeded and one has failed."""

    query: Query
    instance: dg.DagsterInstance
    settings: Settings
    succeeded: str
    failed: str


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    home = tmp_path_factory.mktemp("graphql") / "home"
    with Simulator(world_of(2)) as simulator, pytest.MonkeyPatch.context() as patch:
        environment = environment_for(simulator, home)
        for name, value in environment.items():
            patch.setenv(name, value)
        assert run_cli(environment, "nightly", "--date", f"{LAST}")[0] == 0
        simulator.faults.schedule("server_error", operation="list-livestreams", times=99)
        assert run_cli(environment, "backfill", f"{LAST - timedelta(days=1)}", f"{LAST}")[0] == 1
        settings = settings_for(simulator, home)
        with open_history(settings) as instance:
            failed, succeeded = [run.run_id for run in instance.get_runs()]
            patch.setenv("LIVEHOUSE_START_DATE", f"{find_first_day(settings, instance)}")  # as `livehouse ui` does
            with web_app(instance) as query:
                yield Shown(query, instance, settings, succeeded, failed)


@contextmanager
def web_app(instance: dg.DagsterInstance) -> Iterator[Query]:
    """Serve Dagster's web app for the definitions of this process; yield a function that sends a query."""
    origin = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name=MODULE), location_name=MODULE)
    with ExitStack() as stack:
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # Dagster reads its own old fields
            context = stack.enter_context(WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)))
        port = free_port()

        def query(text: str, **variables: Any) -> dict[str, Any]:
            sent = {"query": text, "variables": variables}
            answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json=sent, timeout=60).json()
            assert "errors" not in answer, answer["errors"]
            data: dict[str, Any] = answer["data"]
            return data

        with served(create_app_from_workspace_process_context(context, "", 2000), port):
            yield query


def find_runs(query: Query, job: str) -> dict[str, set[str]]:
    """Return the ids of the runs of a job that each page shows."""
    everything = {"statuses": ["FAILURE", "SUCCESS", "CANCELED"], "updatedBefore": 4e9, "updatedAfter": 0}
    timeline = query(TIMELINE, completedFilter=everything, limit=500)["completed"]["results"]
    in_jobs = query(JOBS, selector=JOB | {"pipelineName": job})["pipelineOrError"]["runs"]
    of_job = query(JOB_RUNS, filter={"pipelineName": job, "tags": OF_REPOSITORY}, view="RUNS", limit=30)
    return {
        "Overview": {
            run["id"]
            for run in timeline
            if run["pipelineName"] == job
            and (run["repositoryOrigin"] or {}).get("repositoryName") == JOB["repositoryName"]
            and run["repositoryOrigin"]["repositoryLocationName"] == JOB["repositoryLocationName"]
        },
        "Jobs": {run["id"] for run in in_jobs},
        "Runs of the job": {run["id"] for run in of_job["runsFeedOrError"]["results"]},
    }


def test_every_page_shows_the_runs_of_the_command_line(shown: Shown) -> None:
    """Seen: Overview, Jobs and nightly → Runs showed none of them (dagster#17707)."""
    assert [*find_runs(shown.query, "nightly").values()] == 3 * [{shown.succeeded}]
    assert [*find_runs(shown.query, "backfill").values()] == 3 * [{shown.failed}]


def test_runs_that_an_earlier_version_recorded_are_shown_too(shown: Shown) -> None:
    recorded = shown.instance.get_run_by_id(shown.succeeded)
    assert recorded
    tags = {name: value for name, value in recorded.tags.items() if name != OF_REPOSITORY[0]["key"]}
    earlier = recorded._replace(run_id=make_new_run_id(), remote_job_origin=None, tags=tags)
    shown.instance.add_run(earlier)
    try:
        assert find_runs(shown.query, "nightly")["Overview"] == {shown.succeeded}
        for _ in range(2):
            add_missing_origins(shown.instance, MODULE)
            assert [*find_runs(shown.query, "nightly").values()] == 3 * [{shown.succeeded, earlier.run_id}]
    finally:
        shown.instance.delete_run(earlier.run_id)


LOGS = """query RunLogs($id: ID!) { logsForRun(runId: $id, limit: 1000) { ... on EventConnection { events { __typename
  ... on MessageEvent { message } ... on ErrorEvent { error { message stack cause { message } } } } } } }"""


def test_a_failed_run_gives_reason_and_remedy_in_the_list_and_at_its_end(shown: Shown) -> None:
    """Seen: `DagsterExecutionStepExecutionError` and twenty lines of Dagster's own frames; the list showed nothing."""
    [listed] = shown.query(JOB_RUNS, filter={"pipelineName": "backfill", "tags": OF_REPOSITORY}, view="RUNS", limit=9)[
        "runsFeedOrError"
    ]["results"]
    tags = {tag["key"]: tag["value"] for tag in listed["tags"]}
    events = shown.query(LOGS, id=shown.failed)["logsForRun"]["events"]
    failures = [event for event in events if event.get("error")]
    assert {event["__typename"] for event in failures} == {"ExecutionStepFailureEvent"}
    for event in failures:
        assert re.fullmatch(r"aula: GET \S+: 5\d\d: .*", event["error"]["message"])
        assert (event["error"]["stack"], event["error"]["cause"]) == ([], None)
    command = f"livehouse backfill {LAST - timedelta(days=1)} {LAST}"
    reason = failures[0]["error"]["message"]
    assert events[-1]["__typename"] == "RunFailureEvent"
    assert events[-1]["message"] == f"backfill failed: {reason}; landed data is kept; to resume: `{command}`"
    assert re.fullmatch(r"aula: GET …/livestreams: 5\d\d: .*", tags["failed"])
    assert tags["resume"] == command
    succeeded = shown.instance.get_run_by_id(shown.succeeded)
    assert succeeded
    assert "failed" not in succeeded.tags


COLUMNS = """{ assetNodes { assetKey { path } metadataEntries { label ... on TableSchemaMetadataEntry {
  schema { columns { name type constraints { other } } } } } } }"""


def test_columns_have_their_sql_type_and_their_unit_beside_it(shown: Shown) -> None:
    """Seen: the type of a mart's column was its unit ("UTC day"), that of a core column its SQL type."""
    with open_published(shown.settings) as connection:
        stored = connection.execute(
            "SELECT schema_name || '/' || table_name, column_name, data_type FROM duckdb_columns()"
            " WHERE schema_name IN ('core', 'marts')"
        ).fetchall()
    columns = {
        ("/".join(node["assetKey"]["path"]), column["name"]): column
        for node in shown.query(COLUMNS)["assetNodes"]
        for entry in node["metadataEntries"]
        if entry["label"] == "dagster/column_schema"
        for column in entry["schema"]["columns"]
    }
    assert stored
    assert {(table, name): columns[table, name]["type"] for table, name, _ in stored} == {
        (table, name): sql_type for table, name, sql_type in stored
    }
    assert columns["core/livestream_sessions", "ingest_seconds"]["constraints"]["other"] == ["seconds"]
    assert columns["marts/daily_usage", "day"]["constraints"]["other"] == ["UTC day"]


PARTITIONS = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
  partitionKeys partitionStats { numMaterialized } } } }"""


def test_partitions_begin_where_data_can(shown: Shown) -> None:
    """Seen: 664 of 696 partitions were "Missing" for ever, because the API had forgotten those days."""
    key = {"path": ["core", "livestream_sessions"]}
    asset = shown.query(PARTITIONS, key=key)["assetNodeOrError"]
    assert asset["partitionStats"]["numMaterialized"] == 3
    assert asset["partitionKeys"][0] == f"{today() - timedelta(days=180)}"

    old = settings_for_start(None)
    assert find_first_day(old, shown.instance) == today() - timedelta(days=180)
    assert find_first_day(settings_for_start("2024-05-01"), shown.instance) == date(2024, 5, 1)
    with dg.DagsterInstance.ephemeral() as instance:
        assert find_first_day(old, instance) == today() - timedelta(days=180)
        instance.report_runless_asset_event(
            dg.AssetMaterialization(["core", "recordings_daily"], partition="2025-02-03")
        )
        assert find_first_day(old, instance) == date(2025, 2, 3), "a day that is loaded keeps its partition"


def settings_for_start(start: str | None) -> Settings:
    return Settings(**{"LIVEHOUSE_START_DATE": start} if start else {})  # type: ignore[arg-type]  # read by alias


def test_no_asset_waits_for_the_polls_which_are_off_by_default(shown: Shown) -> None:
    """Seen: each launch of a backfill began with "Are you sure? … may fail" about raw/live_observations."""
    answer = shown.query("{ assetNodes { assetKey { path } jobNames dependencyKeys { path } } }")["assetNodes"]
    of_job = {tuple(node["assetKey"]["path"]): node for node in answer if "backfill" in node["jobNames"]}
    upstream = {tuple(key["path"]) for node in of_job.values() for key in node["dependencyKeys"]}
    assert upstream <= of_job.keys(), "whatever the job builds on is built by the job itself"


def test_groups_form_a_chain(shown: Shown) -> None:
    answer = shown.query("{ assetNodes { groupName dependedByKeys { path } } }")["assetNodes"]
    edges = {(node["groupName"], key["path"][0]) for node in answer for key in node["dependedByKeys"]}
    between = {(upper, lower) for upper, lower in edges if upper != lower}
    assert between == {("raw", "core"), ("core", "marts"), ("marts", "publish")}

"""The executor of every job: Dagster's own, in one process, which also watches over the run's session in PostgreSQL."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from pipelines.orchestration.run_sessions import hold_run_session

if TYPE_CHECKING:
    from dagster._core.execution.context.system import PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.retries import RetryMode


class SessionExecutor(dg.Executor):
    """Stops a run that was marked as ended, and has a run retried that failed after PostgreSQL had ended its session."""

    def __init__(self, executor: dg.Executor) -> None:
        """Take the executor of the steps."""
        self._executor = executor

    @property
    def retries(self) -> "RetryMode":
        """How steps are retried."""
        return self._executor.retries

    def execute(
        self, plan_context: "PlanOrchestrationContext", execution_plan: "ExecutionPlan"
    ) -> Iterator[dg.DagsterEvent]:
        """Execute the steps, and yield their events."""
        instance, run_id = plan_context.instance, plan_context.run_id
        with hold_run_session(instance, run_id) as session:
            for event in self._executor.execute(plan_context, execution_plan):
                if session and event.is_step_start:
                    session.check()
                if session and event.is_step_failure and session.check_after_failure():
                    instance.add_run_tags(run_id, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true"})
                yield event


def _create(context: dg.InitExecutorContext) -> SessionExecutor:
    create = dg.in_process_executor.executor_creation_fn
    assert create is not None, "Dagster's own has one"  # noqa: S101 - only definitions of others may lack it
    return SessionExecutor(create(context))


# A process for each step would take ten times as long as the steps.
session_executor = dg.ExecutorDefinition(
    name="in_process",
    config_schema=dg.in_process_executor.config_schema.as_field(),
    executor_creation_fn=_create,
)

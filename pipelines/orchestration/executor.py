"""The executor of every job: Dagster's own, in one process, which also watches over the run's session in PostgreSQL."""

from collections.abc import Iterator

import dagster as dg
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.storage.tags import RETRY_ON_ASSET_OR_OP_FAILURE_TAG

from pipelines.orchestration.run_sessions import hold_run_session


class SessionExecutor(InProcessExecutor):
    """Stops a run that was marked as ended, and has a run retried that failed after PostgreSQL had ended its session."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Execute the steps, and yield their events."""
        instance, run_id = plan_context.instance, plan_context.run_id
        with hold_run_session(instance, run_id) as session:
            for event in super().execute(plan_context, execution_plan):
                if session and event.is_step_start:
                    session.check()
                if session and event.is_step_failure and session.check_after_failure():
                    instance.add_run_tags(run_id, {RETRY_ON_ASSET_OR_OP_FAILURE_TAG: "true"})
                yield event


@dg.executor(name="in_process")
def session_executor(_: dg.InitExecutorContext) -> SessionExecutor:
    """Execute all steps of a run in one process: a process each would take ten times as long as the steps."""
    return SessionExecutor(RetryMode.ENABLED)

"""The job that evaluates alert rules between runs. It is not an asset: it changes no figures."""

import dagster as dg

from pipelines.errors import AlreadyRunningError, WarehouseError
from pipelines.settings.settings import Settings
from pipelines.steps.alerts import update_alerts_between_runs
from pipelines.text import printable


@dg.op(description="Evaluate the alert rules on the published figures, and post incidents that opened or closed.")
def evaluate_alert_rules(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Evaluate the rules, unless a run is in progress, which does so at its end."""
    try:
        state = update_alerts_between_runs(settings, wait_seconds=0, log=context.log.info)
    except (AlreadyRunningError, WarehouseError) as error:
        context.log.info("nothing was evaluated: %s", error)
        return
    for line in (*state.rule_faults, *state.post_faults, *(incident.text for incident in state.open_incidents)):
        context.log.warning(printable(line))
    context.add_output_metadata({"open_incidents": len(state.open_incidents)})


@dg.job(description="Evaluate the alert rules between runs: also notices that no run has loaded a day lately.")
def alerts() -> None:
    """Evaluate the rules in one step."""
    evaluate_alert_rules()

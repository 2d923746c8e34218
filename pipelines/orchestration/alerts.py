"""Post a failed run to the alert webhook. Nothing here imports Dagster or fails a run."""

from datetime import date

from pipelines.alerts.webhook import Message, neutralize_markup, post_message
from pipelines.errors import LivehouseError
from pipelines.orchestration.run_errors import build_resume_command
from pipelines.settings.settings import Settings

_MAX_ERROR_CHARACTERS = 1_600


def post_failure(
    settings: Settings,
    job: str,
    run_id: str,
    days: tuple[date, date] | None,
    errors: list[LivehouseError],
    *,
    is_retried: bool = False,
) -> str | None:
    """Post to LIVEHOUSE_ALERT_WEBHOOK, if that is set, that a run failed.

    Returns one line with the reason if that was not possible (never the address, which is a secret), else None. Never
    raises: the run's own errors come first. `is_retried`: Dagster starts the run again.
    """
    fields = {
        "run_id": run_id,
        "job": job,
        "first_day": days and f"{days[0]}",
        "last_day": days and f"{days[1]}",
        "errors": [neutralize_markup(str(error)) for error in errors],
        "is_retried": is_retried,
    }
    text = _describe_failure(job, run_id, days, errors, is_retried=is_retried)
    return post_message(settings, Message("run_failed", f"run-{run_id}", text, fields))


def _describe_failure(
    job: str, run_id: str, days: tuple[date, date] | None, errors: list[LivehouseError], *, is_retried: bool
) -> str:
    """Return the message. Quoted errors come from outside, and must not mention people, link, or format anything."""
    if job.startswith("__"):
        job = "a run of assets"  # a name that Dagster made up
    span = f" of {days[0]} to {days[1]}" if days else ""
    lines = "\n".join(f"• {neutralize_markup(str(error))}" for error in errors)[:_MAX_ERROR_CHARACTERS]
    remedy = "The run is started again" if is_retried else f"To resume: `{build_resume_command(job, days)}`"
    return (
        f"livehouse: {job}{span} failed (run {run_id[:8]})\n```\n{lines}\n```\n"
        f"Landed data is kept. {remedy}; `livehouse ui` shows the run."
    )

"""The assumptions of a statement's estimates, in words."""

from pipelines.statement.read import Statement


def describe_assumptions(statement: Statement) -> list[str]:
    """Return the assumptions, one sentence or two each."""
    rates = sorted(
        {(app.media or "unknown", app.export_rate, app.participant_rate) for app in statement.completeness}, key=str
    )
    lines = ["Amounts are estimates in US dollars, not an invoice."]
    for media, export_rate, participant_rate in rates:
        apps = ", ".join(app.app_id for app in statement.completeness if (app.media or "unknown") == media)
        lines.append(
            f"{media.capitalize()} rates for {apps}: {_format_rate(export_rate)} per minute recorded or streamed out of a meeting,"
            f" {_format_rate(participant_rate)} per participant minute."
        )
    return [
        *lines,
        "Meetings are a lower bound: each counts as if it had one participant, because the API reports none.",
        "Watch time, and livestreams that stream no meeting, are not estimated: no rate is published.",
        "Minutes beyond an allowance are priced at its own rate; that amount is not part of the estimate.",
    ]


def _format_rate(rate: float | None) -> str:
    if rate is None:
        return "an unknown price"
    whole, _, decimals = f"{rate:.10f}".partition(".")
    return f"${whole}.{decimals.rstrip('0').ljust(3, '0')}"

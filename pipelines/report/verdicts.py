"""The verdicts of a day's reconciliation, as the page labels, explains and colours them."""

from typing import Literal, NamedTuple


class Verdict(NamedTuple):
    """How the page shows a verdict. `kind` chooses its sign in tables, `colour` that of its marks in the chart."""

    label: str
    kind: Literal["good", "warning", "bad", "unknown"]
    colour: str
    meaning: str


VERDICTS = {
    "match": Verdict("match", "good", "var(--good)", "the sessions add up to the API’s daily total"),  # noqa: RUF001 - typographic, like the rest of the page
    "unsettled": Verdict(
        "unsettled",
        "warning",
        "var(--pale)",
        "a session had not ended, or the day was loaded before it was over; the figures are provisional and will still change",
    ),
    "sessions_missing": Verdict(
        "sessions missing",
        "bad",
        "var(--bad)",
        "the API’s total is higher: sessions were not returned, or are in quarantine; the page shows too little",  # noqa: RUF001 - same
    ),
    "overall_behind": Verdict(
        "overall behind",
        "warning",
        "var(--warning)",
        "the API’s total is lower than its own sessions: it lags, or has lost some",  # noqa: RUF001 - same
    ),
    "unknown": Verdict(
        "unknown",
        "unknown",
        "var(--unknown)",
        "the day has no API total, its sessions are unknown, or a sum is too large: there is nothing to compare",
    ),
    "not_loaded": Verdict("not loaded", "unknown", "var(--unknown)", "the day was never loaded"),
}
"""The verdicts of marts.reconciliation, and `not_loaded` for a day without a row there; in the order of the page."""

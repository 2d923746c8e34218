"""How far a day can be trusted, as the page says it."""

VERDICTS = {
    "match": ("match", "var(--good)"),
    "unsettled": ("unsettled", "var(--pale)"),
    "sessions_missing": ("sessions missing", "var(--bad)"),
    "overall_behind": ("overall behind", "var(--warning)"),
    "unknown": ("unknown", "var(--unknown)"),
    "not_loaded": ("not loaded", "var(--unknown)"),
}
"""Each verdict of marts.reconciliation and `not_loaded`: how the page calls it, and its colour."""

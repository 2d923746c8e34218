"""States of a session: how the page names, marks and colours each. `queries/sessions.sql` determines them."""

from typing import NamedTuple


class SessionState(NamedTuple):
    """How the page shows a state. `kind` chooses its sign in tables, `colour` that of its bars on the timeline."""

    label: str
    kind: str
    colour: str
    is_failed: bool = False


SESSION_STATES = {
    "failed_before_live": SessionState("failed before going live", "bad", "var(--bad)", is_failed=True),
    "failed_after_live": SessionState("failed after going live", "warning", "var(--warning)", is_failed=True),
    "not_live_yet": SessionState("not live yet", "unknown", "var(--unknown)"),
    "never_live": SessionState("never went live", "unknown", "var(--unknown)"),
    "on_air": SessionState("on air", "good", "var(--good)"),
    "ended": SessionState("ended", "good", "var(--series)"),
}
"""The page's script relies on the first, a failure before going live, and on the last, a session that ended well."""

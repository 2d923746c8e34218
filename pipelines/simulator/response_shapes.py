"""In which of its known shapes the service answers. The defaults are those of captured bodies (facts.md)."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal, Self, get_args

from pipelines.simulator.records import to_datetime

TimestampForm = Literal["z", "offset", "none", "seconds", "milliseconds"]


@dataclass(frozen=True, slots=True)
class ResponseShapes:
    """One choice for each thing on which document, captured bodies and SDKs disagree; first the default."""

    livestreams: Literal["array", "document", "wrapped", "per_row"] = "array"
    """array: paging beside data · document: one livestream a page, paging inside it · wrapped:
    data.livestreams and data.paging · per_row: every row carries a paging of its own."""
    detail: Literal["captured", "document", "paging_inside"] = "captured"
    """captured: data.sessions, paging beside data · document: data.session is one object, data.paging."""
    overall: Literal["object", "array"] = "object"
    """array: one object a day, each with `date` = midnight in ISO form."""
    day: Literal["midnight", "date"] = "midnight"
    """`day` of daywise: `2023-10-17T00:00:00.000Z` or `2023-10-17`."""
    idle_days: Literal["left_out", "zeros"] = "left_out"
    """Days without activity in daywise and livestreams/daywise."""
    disabled: Literal["boolean", "text"] = "boolean"
    """text: "disabled" or "enabled"."""
    active_seconds: Literal["number", "text"] = "number"
    """Figures of the active session; number: as all others."""
    session_invoked: Literal["present", "absent"] = "present"
    """Whether a session asked for by its id has `invoked_time`."""
    timestamps: TimestampForm = "z"
    """`…Z` · `+05:30` · no offset · Unix seconds (with a fraction) · Unix milliseconds; all exact."""
    paging: Literal["number", "text"] = "number"
    """Whether total_count and offsets are numbers."""
    errors: Literal["result", "error", "html", "problem", "chain"] = "result"
    """`{"errors": [...], "result": null}` · `{"error": {...}}` · an HTML page · RFC 9457 · errors whose `error_chain`
    holds the cause."""

    def __post_init__(self) -> None:
        """Refuse what is not a known shape."""
        for field in fields(self):
            choices: tuple[str, ...] = get_args(field.type)
            if getattr(self, field.name) not in choices:
                raise ValueError(f"shape {field.name} takes {', '.join(choices)}, not {getattr(self, field.name)!r}")

    @classmethod
    def all_variants(cls) -> Iterator[Self]:
        """Return the default, then every shape that differs from it in one thing."""
        default = cls()
        yield default
        for field in fields(cls):
            for choice in get_args(field.type):
                if choice != getattr(default, field.name):
                    yield replace(default, **{field.name: choice})

    def __str__(self) -> str:
        """Return what differs from the captured bodies, for the name of a test."""
        different = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        return ",".join(f"{name}={getattr(self, name)}" for name in different) or "captured"


def timestamp(ms: int, form: TimestampForm) -> str | int | float:
    """Return a moment in one of the forms, exact to the millisecond."""
    if form == "seconds":
        return ms // 1000 if ms % 1000 == 0 else ms / 1000
    if form == "milliseconds":
        return ms
    ahead_ms = 19_800_000 if form == "offset" else 0
    local = to_datetime(ms + ahead_ms).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return local + {"z": "Z", "offset": "+05:30", "none": ""}[form]

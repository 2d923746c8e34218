"""The known shapes of responses. The defaults are those of captured bodies."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal, Self, get_args

from pipelines.simulator.records import to_datetime

TimestampForm = Literal["z", "offset", "none", "seconds", "milliseconds"]


@dataclass(frozen=True, slots=True)
class ResponseShapes:
    """One choice for each difference between document, captured bodies and SDKs; the first value is the default."""

    livestreams: Literal["array", "document", "wrapped", "per_row"] = "array"
    """array: paging next to data · document: one livestream per page, paging inside it · wrapped:
    data.livestreams and data.paging · per_row: every row has its own paging."""
    detail: Literal["captured", "document", "paging_inside"] = "captured"
    """captured: data.sessions, paging next to data · document: data.session is one object, data.paging."""
    overall: Literal["object", "array"] = "object"
    """array: one object per day, each with `date` = midnight in ISO form."""
    day: Literal["midnight", "date"] = "midnight"
    """`day` of daywise: `2023-10-17T00:00:00.000Z` or `2023-10-17`."""
    idle_days: Literal["left_out", "zeros"] = "left_out"
    """Days without activity in daywise and livestreams/daywise."""
    disabled: Literal["boolean", "text"] = "boolean"
    """text: "disabled" or "enabled"."""
    active_seconds: Literal["number", "text"] = "number"
    """Measures of the active session; number: as everywhere else."""
    session_invoked: Literal["present", "absent"] = "present"
    """Whether *get-session* returns `invoked_time`."""
    timestamps: TimestampForm = "z"
    """`…Z` · `+05:30` · no offset · Unix seconds (with a fraction) · Unix milliseconds; all exact."""
    paging: Literal["number", "text"] = "number"
    """JSON type of total_count and offsets."""
    errors: Literal["result", "error", "html", "problem", "chain"] = "result"
    """`{"errors": [...], "result": null}` · `{"error": {...}}` · an HTML page · RFC 9457 · errors with the cause
    in `error_chain`."""

    def __post_init__(self) -> None:
        """Raise `ValueError` for an unknown shape."""
        for field in fields(self):
            choices: tuple[str, ...] = get_args(field.type)
            if getattr(self, field.name) not in choices:
                raise ValueError(f"shape {field.name} takes {', '.join(choices)}, not {getattr(self, field.name)!r}")

    @classmethod
    def all_variants(cls) -> Iterator[Self]:
        """Yield the default, then every combination that differs from it in one field."""
        default = cls()
        yield default
        for field in fields(cls):
            for choice in get_args(field.type):
                if choice != getattr(default, field.name):
                    yield replace(default, **{field.name: choice})

    def __str__(self) -> str:
        """Return the fields that differ from the captured bodies, for test ids."""
        different = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        return ",".join(f"{name}={getattr(self, name)}" for name in different) or "captured"


def timestamp(ms: int, form: TimestampForm) -> str | int | float:
    """Return a time in one of the formats, exact to the millisecond."""
    if form == "seconds":
        return ms // 1000 if ms % 1000 == 0 else ms / 1000
    if form == "milliseconds":
        return ms
    ahead_ms = 19_800_000 if form == "offset" else 0
    local = to_datetime(ms + ahead_ms).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return local + {"z": "Z", "offset": "+05:30", "none": ""}[form]

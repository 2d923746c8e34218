"""Fault injection: seeded faults on any operation, and faults that a test schedules one by one.

Whether a request gets a fault depends on the seed, the request and its number of repetitions, never on the order of
threads, so a run with the same seed meets the same faults. The faults: transport_faults, paging_faults, record_faults.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from starlette.responses import Response

from pipelines.simulator.access import LoggedRequest
from pipelines.simulator.api_request import ApiRequest, ApiResponse
from pipelines.simulator.dialects import OPERATIONS
from pipelines.simulator.paging_faults import DRIFT
from pipelines.simulator.record_faults import FORGETTING, UNKNOWN_RECORDS
from pipelines.simulator.transport_faults import CORRUPTION_FAULTS, HOSTILE, REPLACEMENT_FAULTS, FaultOptions

CONTENT_FAULTS = DRIFT | UNKNOWN_RECORDS | FORGETTING
GROUPS: dict[str, tuple[str, ...]] = {
    "transient": tuple(kind for kind in (*REPLACEMENT_FAULTS, *CORRUPTION_FAULTS) if kind not in HOSTILE),
    "hostile": HOSTILE,
    "drift": tuple(DRIFT),
    "strange": tuple(UNKNOWN_RECORDS),
    "forgetting": tuple(FORGETTING),
}
"""transient: a retry succeeds · hostile: the client must refuse the response · drift: lists that move, repeat or miscount ·
strange: records with unknown fields or types · forgetting: the API no longer returns earlier data."""
KINDS: tuple[str, ...] = tuple(kind for kinds in GROUPS.values() for kind in kinds)


@dataclass(slots=True)
class ScheduledFault:
    """A fault for a number of upcoming requests."""

    kind: str
    operation: str | None
    app_id: str | None
    remaining: int
    options: FaultOptions

    def matches(self, request: LoggedRequest) -> bool:
        """Return whether the fault applies to this request."""
        return (
            self.remaining > 0 and self.operation in {None, request.operation} and self.app_id in {None, request.app_id}
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault for one request."""

    kind: str
    rng: random.Random
    options: FaultOptions

    def replacement(self) -> Response | None:
        """Return a response that replaces the operation, or None if the fault lets the operation run."""
        return REPLACEMENT_FAULTS[self.kind](self.options, self.rng) if self.kind in REPLACEMENT_FAULTS else None

    def handle(self, api_request: ApiRequest, handler: Callable[[ApiRequest], ApiResponse]) -> ApiResponse:
        """Return the response of the operation, changed if this is a content fault."""
        return (
            CONTENT_FAULTS[self.kind].apply(api_request, handler, self.rng)
            if self.kind in CONTENT_FAULTS
            else handler(api_request)
        )

    def corrupt(self, response: Response) -> Response:
        """Return the response, corrupted if this is a corruption fault."""
        return CORRUPTION_FAULTS[self.kind](response, self.options) if self.kind in CORRUPTION_FAULTS else response


@dataclass(slots=True)
class FaultInjector:
    """Injects a fault into a share (`rate`) of the requests to `operations` (None: all), out of the `kinds` that apply.

    max_faults: the total. max_consecutive: in a row on the same request, so that retries succeed.
    options: parameters of the faults. Scheduled faults come first and count towards no limit.
    """

    seed: int = 0
    rate: float = 0.08
    kinds: Sequence[str] = ()
    operations: Sequence[str] | None = None
    max_faults: int | None = None
    max_consecutive: int = 3
    options: FaultOptions = field(default_factory=FaultOptions)
    injected: list[tuple[str, str]] = field(default_factory=list)
    """(operation, kind) of every fault so far."""
    _scheduled: list[ScheduledFault] = field(default_factory=list)
    _occurrences: Counter[str] = field(default_factory=Counter)
    _consecutive: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Raise `ValueError` for unknown kinds or operations, or a rate outside 0 to 1."""
        check_names("fault", self.kinds, KINDS)
        check_names("operation", self.operations or (), OPERATIONS)
        if not 0 <= self.rate <= 1:
            raise ValueError(f"the rate of faults must be between 0 and 1, not {self.rate}")

    @classmethod
    def parse(cls, text: str, *, seed: int = 0) -> Self:
        """Parse `KIND,GROUP,…[:RATE]`, for example `server_error,cut_body:0.08` or `all`. Raises `ValueError`."""
        names, _, rate = text.partition(":")
        kinds: list[str] = []
        for name in (name.strip() for name in names.split(",")):
            kinds.extend(KINDS if name == "all" else GROUPS.get(name, (name,)))
        try:
            return cls(seed=seed, kinds=tuple(dict.fromkeys(kinds)), rate=float(rate) if rate else 0.08)
        except ValueError as error:
            groups = ", ".join(("all", *GROUPS))
            raise ValueError(f"{error}. Faults are given as KIND,KIND:RATE; groups of kinds: {groups}") from None

    def schedule(
        self,
        kind: str,
        *,
        operation: str | None = None,
        app_id: str | None = None,
        times: int = 1,
        options: FaultOptions | None = None,
    ) -> None:
        """Inject this fault into the next `times` requests of the operation and app."""
        check_names("fault", (kind,), KINDS)
        check_names("operation", () if operation is None else (operation,), OPERATIONS)
        self._scheduled.append(ScheduledFault(kind, operation, app_id, times, options or self.options))

    @property
    def reorders_rows(self) -> bool:
        """Whether lists must be sorted by updated_at for rows to move."""
        return "row_moved" in (*self.kinds, *(scheduled.kind for scheduled in self._scheduled))

    def next_fault(self, request: LoggedRequest) -> Fault | None:
        """Return the fault for this request, or None."""
        key = f"{request.method} {request.path} {sorted(request.query.items())}"
        self._occurrences[key] += 1
        rng = random.Random(f"{self.seed}/{key}/{self._occurrences[key]}")
        scheduled = next((fault for fault in self._scheduled if fault.matches(request)), None)
        if scheduled is not None:
            scheduled.remaining -= 1
            return self._record(request, Fault(scheduled.kind, rng, scheduled.options))
        applicable = [
            kind
            for kind in self.kinds
            if kind not in CONTENT_FAULTS or request.operation in CONTENT_FAULTS[kind].operations
        ]
        if (
            not applicable
            or request.operation not in (self.operations or OPERATIONS)
            or (self.max_faults is not None and len(self.injected) >= self.max_faults)
            or self._consecutive[key] >= self.max_consecutive
            or rng.random() >= self.rate
        ):
            self._consecutive[key] = 0
            return None
        self._consecutive[key] += 1
        return self._record(request, Fault(rng.choice(applicable), rng, self.options))

    def _record(self, request: LoggedRequest, fault: Fault) -> Fault:
        self.injected.append((request.operation, fault.kind))
        request.fault = fault.kind
        return fault


def check_names(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Raise `ValueError` for a name that is not one of the known."""
    for word in given:
        if word not in known:
            raise ValueError(f"unknown {what} {word!r}; known are {', '.join(known)}")

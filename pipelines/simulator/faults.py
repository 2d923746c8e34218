"""What goes wrong, when: seeded faults on any operation, and faults that a test orders one by one.

Whether a request is injected depends on the seed, the request and how often it was made, not on the order in
which threads come: the same run meets the same faults. What a fault does: wire.py, drift.py and strange.py.
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
from pipelines.simulator.record_faults import FORGETTING, STRANGE
from pipelines.simulator.transport_faults import CORRUPTION_FAULTS, HOSTILE, REPLACEMENT_FAULTS, FaultOptions

CONTENT_FAULTS = DRIFT | STRANGE | FORGETTING
GROUPS: dict[str, tuple[str, ...]] = {
    "transient": tuple(kind for kind in (*REPLACEMENT_FAULTS, *CORRUPTION_FAULTS) if kind not in HOSTILE),
    "hostile": HOSTILE,
    "drift": tuple(DRIFT),
    "strange": tuple(STRANGE),
    "forgetting": tuple(FORGETTING),
}
"""transient: asking again helps · hostile: to be refused · drift: lists that move, repeat or miscount ·
strange: records such as were never seen · forgetting: the source no longer knows what it knew."""
KINDS: tuple[str, ...] = tuple(kind for kinds in GROUPS.values() for kind in kinds)


@dataclass(slots=True)
class ScheduledFault:
    """The next so many calls get this fault."""

    kind: str
    operation: str | None
    app_id: str | None
    remaining: int
    options: FaultOptions

    def matches(self, request: LoggedRequest) -> bool:
        """Whether it is meant for this request."""
        return (
            self.remaining > 0 and self.operation in {None, request.operation} and self.app_id in {None, request.app_id}
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault about to strike one request."""

    kind: str
    rng: random.Random
    options: FaultOptions

    def replacement(self) -> Response | None:
        """Return a response that takes the place of the operation, which is then not performed."""
        return REPLACEMENT_FAULTS[self.kind](self.options, self.rng) if self.kind in REPLACEMENT_FAULTS else None

    def handle(self, call: ApiRequest, handler: Callable[[ApiRequest], ApiResponse]) -> ApiResponse:
        """Return the operation's reply, with other content if the fault is one of content."""
        return (
            CONTENT_FAULTS[self.kind].apply(call, handler, self.rng) if self.kind in CONTENT_FAULTS else handler(call)
        )

    def corrupt(self, response: Response) -> Response:
        """Return the response, badly sent if the fault is one of sending."""
        return CORRUPTION_FAULTS[self.kind](response, self.options) if self.kind in CORRUPTION_FAULTS else response


@dataclass(slots=True)
class FaultInjector:
    """Strikes `rate` of the requests to `operations` (None: all) with one of `kinds` that suits it.

    limit: at most so many faults in all. consecutive: never more in a row on the same request, so that
    retries win. blow: how hard they strike. `order` comes first and knows no limit.
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
        """Refuse unknown kinds and operations, and a rate that is none."""
        check_names("fault", self.kinds, KINDS)
        check_names("operation", self.operations or (), OPERATIONS)
        if not 0 <= self.rate <= 1:
            raise ValueError(f"the rate of faults lies between 0 and 1, not at {self.rate}")

    @classmethod
    def parse(cls, text: str, *, seed: int = 0) -> Self:
        """`KIND,GROUP,…[:RATE]` as on the command line, for example `server_error,cut_body:0.08` or `all`."""
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
        """Give the next `times` calls of this operation and app exactly this fault."""
        check_names("fault", (kind,), KINDS)
        check_names("operation", () if operation is None else (operation,), OPERATIONS)
        self._scheduled.append(ScheduledFault(kind, operation, app_id, times, options or self.options))

    @property
    def reorders_rows(self) -> bool:
        """Whether lists must be in the order of updated_at for rows to move."""
        return "row_moved" in (*self.kinds, *(order.kind for order in self._scheduled))

    def next_fault(self, request: LoggedRequest) -> Fault | None:
        """Return the fault that strikes this request, if one does."""
        key = f"{request.method} {request.path} {sorted(request.query.items())}"
        self._occurrences[key] += 1
        rng = random.Random(f"{self.seed}/{key}/{self._occurrences[key]}")
        order = next((order for order in self._scheduled if order.matches(request)), None)
        if order is not None:
            order.remaining -= 1
            return self._record(request, Fault(order.kind, rng, order.options))
        suited = [
            kind
            for kind in self.kinds
            if kind not in CONTENT_FAULTS or request.operation in CONTENT_FAULTS[kind].operations
        ]
        if (
            not suited
            or request.operation not in (self.operations or OPERATIONS)
            or (self.max_faults is not None and len(self.injected) >= self.max_faults)
            or self._consecutive[key] >= self.max_consecutive
            or rng.random() >= self.rate
        ):
            self._consecutive[key] = 0
            return None
        self._consecutive[key] += 1
        return self._record(request, Fault(rng.choice(suited), rng, self.options))

    def _record(self, request: LoggedRequest, fault: Fault) -> Fault:
        self.injected.append((request.operation, fault.kind))
        request.fault = fault.kind
        return fault


def check_names(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a word that is not one of the known."""
    for word in given:
        if word not in known:
            raise ValueError(f"unknown {what} {word!r}; known are {', '.join(known)}")

"""What goes wrong, when: seeded faults on any operation, and faults that a test orders one by one.

Whether a request is struck depends on the seed, the request and how often it was made, not on the order in
which threads come: the same run meets the same faults. What a fault does: wire.py, drift.py and strange.py.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

from starlette.responses import Response

from pipelines.simulator.access import Asked
from pipelines.simulator.calls import Call, Reply
from pipelines.simulator.dialects import OPERATIONS
from pipelines.simulator.drift import DRIFT
from pipelines.simulator.strange import FORGETTING, STRANGE
from pipelines.simulator.wire import HOSTILE, INSTEAD, SPOILT, Blow

CONTENT = DRIFT | STRANGE | FORGETTING
GROUPS: dict[str, tuple[str, ...]] = {
    "transient": tuple(kind for kind in (*INSTEAD, *SPOILT) if kind not in HOSTILE),
    "hostile": HOSTILE,
    "drift": tuple(DRIFT),
    "strange": tuple(STRANGE),
    "forgetting": tuple(FORGETTING),
}
"""transient: asking again helps · hostile: to be refused · drift: lists that move, repeat or miscount ·
strange: records such as were never seen · forgetting: the source no longer knows what it knew."""
KINDS: tuple[str, ...] = tuple(kind for kinds in GROUPS.values() for kind in kinds)


@dataclass(slots=True)
class Order:
    """The next so many calls get this fault."""

    kind: str
    operation: str | None
    app_id: str | None
    left: int
    blow: Blow

    def fits(self, asked: Asked) -> bool:
        """Whether it is meant for this request."""
        return self.left > 0 and self.operation in {None, asked.operation} and self.app_id in {None, asked.app_id}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault about to strike one request."""

    kind: str
    rng: random.Random
    blow: Blow

    def instead(self) -> Response | None:
        """Return a response that takes the place of the operation, which is then not performed."""
        return INSTEAD[self.kind](self.blow, self.rng) if self.kind in INSTEAD else None

    def reply(self, call: Call, answer: Callable[[Call], Reply]) -> Reply:
        """Return the operation's reply, with other content if the fault is one of content."""
        return CONTENT[self.kind].alter(call, answer, self.rng) if self.kind in CONTENT else answer(call)

    def spoil(self, response: Response) -> Response:
        """Return the response, badly sent if the fault is one of sending."""
        return SPOILT[self.kind](response, self.blow) if self.kind in SPOILT else response


@dataclass(slots=True)
class Faults:
    """Strikes `rate` of the requests to `operations` (None: all) with one of `kinds` that suits it.

    limit: at most so many faults in all. consecutive: never more in a row on the same request, so that
    retries win. blow: how hard they strike. `order` comes first and knows no limit.
    """

    seed: int = 0
    rate: float = 0.08
    kinds: Sequence[str] = ()
    operations: Sequence[str] | None = None
    limit: int | None = None
    consecutive: int = 3
    blow: Blow = field(default_factory=Blow)
    struck: list[tuple[str, str]] = field(default_factory=list)
    """(operation, kind) of every fault so far."""
    _orders: list[Order] = field(default_factory=list)
    _times_asked: Counter[str] = field(default_factory=Counter)
    _in_a_row: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Refuse unknown kinds and operations, and a rate that is none."""
        check_known("fault", self.kinds, KINDS)
        check_known("operation", self.operations or (), OPERATIONS)
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

    def order(
        self,
        kind: str,
        *,
        operation: str | None = None,
        app_id: str | None = None,
        times: int = 1,
        blow: Blow | None = None,
    ) -> None:
        """Give the next `times` calls of this operation and app exactly this fault."""
        check_known("fault", (kind,), KINDS)
        check_known("operation", () if operation is None else (operation,), OPERATIONS)
        self._orders.append(Order(kind, operation, app_id, times, blow or self.blow))

    @property
    def moves_rows(self) -> bool:
        """Whether lists must be in the order of updated_at for rows to move."""
        return "row_moved" in (*self.kinds, *(order.kind for order in self._orders))

    def next(self, asked: Asked) -> Fault | None:
        """Return the fault that strikes this request, if one does."""
        request = f"{asked.method} {asked.path} {sorted(asked.query.items())}"
        self._times_asked[request] += 1
        rng = random.Random(f"{self.seed}/{request}/{self._times_asked[request]}")
        order = next((order for order in self._orders if order.fits(asked)), None)
        if order is not None:
            order.left -= 1
            return self._strike(asked, Fault(order.kind, rng, order.blow))
        suited = [kind for kind in self.kinds if kind not in CONTENT or asked.operation in CONTENT[kind].operations]
        if (
            not suited
            or asked.operation not in (self.operations or OPERATIONS)
            or (self.limit is not None and len(self.struck) >= self.limit)
            or self._in_a_row[request] >= self.consecutive
            or rng.random() >= self.rate
        ):
            self._in_a_row[request] = 0
            return None
        self._in_a_row[request] += 1
        return self._strike(asked, Fault(rng.choice(suited), rng, self.blow))

    def _strike(self, asked: Asked, fault: Fault) -> Fault:
        self.struck.append((asked.operation, fault.kind))
        asked.fault = fault.kind
        return fault


def check_known(what: str, given: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a word that is not one of the known."""
    for word in given:
        if word not in known:
            raise ValueError(f"unknown {what} {word!r}; known are {', '.join(known)}")

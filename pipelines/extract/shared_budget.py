"""When the next request of any machine may start: one budget for all that share a lakehouse, kept in its PostgreSQL.

The API counts per token, not per machine. A turn is a moment, taken from one row in one statement by PostgreSQL's
clock; whoever dies leaves a turn unused and nothing else behind.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.errors import WarehouseError
from pipelines.extract.budget import interval_of, left_by

if TYPE_CHECKING:
    import psycopg

_MAKE = """
    CREATE TABLE IF NOT EXISTS livehouse_budget (
        account_id text PRIMARY KEY,
        next_start timestamptz NOT NULL DEFAULT to_timestamp(0),
        held_until timestamptz NOT NULL DEFAULT to_timestamp(0),
        credit bigint,
        credit_ends timestamptz NOT NULL DEFAULT to_timestamp(0)
    )
"""
_TAKE = """
    UPDATE livehouse_budget SET
        next_start = greatest(
            next_start, held_until, clock_timestamp(), CASE WHEN credit <= 0 THEN credit_ends END
        ) + make_interval(secs => %(interval)s),
        credit = CASE WHEN credit > 0 AND credit_ends > clock_timestamp() THEN credit - 1
            WHEN credit_ends > clock_timestamp() THEN credit END
    WHERE account_id = %(account_id)s
    RETURNING extract(epoch FROM next_start - clock_timestamp())::float8 - %(interval)s
"""
_HELD = (
    "SELECT extract(epoch FROM held_until - clock_timestamp())::float8 > 0 FROM livehouse_budget WHERE account_id = %s"
)
_HOLD = """
    UPDATE livehouse_budget SET held_until = greatest(held_until, clock_timestamp() + make_interval(secs => %s))
    WHERE account_id = %s
"""
_LEARN = """
    UPDATE livehouse_budget SET credit = %s, credit_ends = clock_timestamp() + make_interval(secs => %s)
    WHERE account_id = %s
"""


class SharedBudget:
    """What `Budget` is to the threads of one process, for the processes of one account."""

    def __init__(
        self, connect: Callable[[], "psycopg.Connection"], account_id: str, requests_per_second: float
    ) -> None:
        """Connect to nothing yet. `connect` opens a session in which each statement is a transaction."""
        self._connect = connect
        self._account_id = account_id
        self._interval = interval_of(requests_per_second)
        self._session: psycopg.Connection | None = None
        self._lock = threading.Lock()
        self._in_flight = 0
        self.remaining: int | None = None

    @contextmanager
    def request(self) -> Iterator[None]:
        """Wait for a turn, then hold a place among this process's requests in flight."""
        turn = {"account_id": self._account_id, "interval": self._interval}
        while (seconds := float(str(self._execute(_TAKE, turn)))) > 0:
            time.sleep(seconds)
            if not self._execute(_HELD, [self._account_id]):  # nobody was told to wait in the meantime
                break
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def hold(self, seconds: float) -> None:
        """Let no request of any machine start for so long."""
        self._execute(_HOLD, [seconds, self._account_id])

    def learn(self, headers: Mapping[str, str]) -> None:
        """Take over what a reply says is left. What other machines have under way is not known here: a 429 tells."""
        told = left_by(headers)
        if told:
            with self._lock:
                self.remaining, under_way = told[0], self._in_flight - 1
            self._execute(_LEARN, [told[0] - under_way, told[1], self._account_id])

    def close(self) -> None:
        """End the session."""
        if self._session:
            self._session.close()

    def _execute(self, statement: str, parameters: Mapping[str, object] | list[object]) -> object:
        import psycopg  # noqa: PLC0415 - of the extra

        try:
            with self._lock:
                if self._session is None or self._session.broken:
                    self._session = self._opened()
            found = self._session.execute(statement, parameters)
            row = found.fetchone() if found.description else None
        except psycopg.Error as error:
            said = str(error).splitlines()[0]
            raise WarehouseError(f"the request budget cannot be had from PostgreSQL: {said}; run again") from None
        return row[0] if row else None

    def _opened(self) -> "psycopg.Connection":
        session = self._connect()
        with session.transaction():
            session.execute("SELECT pg_advisory_xact_lock(hashtextextended('livehouse_budget', 0))")
            session.execute(_MAKE)
            session.execute("INSERT INTO livehouse_budget VALUES (%s) ON CONFLICT DO NOTHING", [self._account_id])
        return session

"""When the next request of any machine may start: one budget for all that share a lakehouse, kept in its PostgreSQL.

The API counts per token, not per machine. A turn is taken from one row in one statement when it has come, by
PostgreSQL's clock: were it given beforehand, who wakes up late would send together with the next. Whoever dies leaves
a turn unused and nothing else behind.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.errors import WarehouseError
from pipelines.extract.budget import MAX_CATCH_UP, Notify, WaitNotice, is_subsecond_window, request_interval
from pipelines.extract.ratelimit import parse_ratelimit

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
_STARTS = "greatest(next_start, held_until, CASE WHEN credit <= 0 THEN credit_ends END)"
_TAKE = f"""
    UPDATE livehouse_budget SET
        next_start = %(interval)s + clock_timestamp() - CASE
            WHEN clock_timestamp() - next_start < %(interval)s
                THEN least(clock_timestamp() - next_start, %(made_up)s * %(interval)s)
            ELSE interval '0' END,
        credit = CASE WHEN credit_ends > clock_timestamp() THEN credit - 1 END
    WHERE account_id = %(account_id)s AND {_STARTS} <= clock_timestamp()
    RETURNING true
"""
_WAIT = f"SELECT extract(epoch FROM {_STARTS} - clock_timestamp())::float8 FROM livehouse_budget WHERE account_id = %s"
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
        self,
        connect: Callable[[], "psycopg.Connection"],
        account_id: str,
        requests_per_second: float,
        notify: Notify = lambda _: None,
    ) -> None:
        """Connect to nothing yet. `connect` opens a session in which each statement is a transaction."""
        self._notice = WaitNotice(notify)
        self._connect = connect
        self._account_id = account_id
        self._interval = request_interval(requests_per_second)
        interval = timedelta(seconds=self._interval)
        self._taking = {"account_id": account_id, "interval": interval, "made_up": MAX_CATCH_UP}
        self._session: psycopg.Connection | None = None
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._in_flight = 0
        self.remaining: int | None = None

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a turn, then hold a place among this process's requests in flight."""
        with self._turn:  # one of this process asks, the others wait for it
            while not self._execute(_TAKE, self._taking):
                seconds = max(0.0, float(str(self._execute(_WAIT, [self._account_id]))))
                self._notice.announce(seconds, time.monotonic() + seconds)
                time.sleep(seconds)
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def pause(self, seconds: float, reason: str = "") -> None:
        """Let no request of any machine start for so long."""
        self._notice.explain(seconds, reason)
        self._execute(_HOLD, [seconds, self._account_id])

    def update_from_headers(self, headers: Mapping[str, str]) -> None:
        """Take over what a reply says is left. What other machines have under way is not known here: a 429 tells."""
        told = parse_ratelimit(headers, time.time())
        if told:
            with self._lock:
                (self.remaining, seconds), under_way = told, self._in_flight - 1
            left = None if is_subsecond_window(seconds, self._interval) else told[0] - under_way
            self._execute(_LEARN, [left, seconds, self._account_id])

    def close(self) -> None:
        """End the session."""
        if self._session:
            self._session.close()

    def _execute(self, statement: str, parameters: Mapping[str, object] | list[object]) -> object:
        import psycopg

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

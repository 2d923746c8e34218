"""The request budget of all machines that share a lakehouse, kept in its PostgreSQL.

The API counts per token, not per machine. One statement takes a slot once it is due by PostgreSQL's clock: a slot assigned
beforehand to a process that wakes up late would bunch two requests. A process that dies leaves one slot unused.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.errors import WarehouseError
from pipelines.extract.budget import (
    MAX_CATCH_UP,
    WRITE_TOLERANCE,
    Notify,
    WaitNotice,
    WriteSpacing,
    is_subsecond_window,
    request_interval,
)
from pipelines.extract.ratelimit import parse_ratelimit

if TYPE_CHECKING:
    import psycopg

_CREATE = """
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
                THEN least(clock_timestamp() - next_start, %(max_catch_up)s * %(interval)s)
            ELSE interval '0' END,
        credit = CASE WHEN credit_ends > clock_timestamp() THEN credit - 1 END
    WHERE account_id = %(account_id)s AND {_STARTS} <= clock_timestamp()
    RETURNING true
"""
_WAIT = f"SELECT extract(epoch FROM {_STARTS} - clock_timestamp())::float8 FROM livehouse_budget WHERE account_id = %s"
_PAUSE = """
    UPDATE livehouse_budget SET held_until = greatest(held_until, clock_timestamp() + make_interval(secs => %s))
    WHERE account_id = %s
"""
_CREATE_WRITES = """
    CREATE TABLE IF NOT EXISTS livehouse_writes (
        account_id text PRIMARY KEY,
        next_write timestamptz NOT NULL DEFAULT to_timestamp(0)
    )
"""
_WRITE = """
    UPDATE livehouse_writes SET next_write = greatest(next_write, clock_timestamp()) + %(interval)s
    WHERE account_id = %(account_id)s AND next_write <= clock_timestamp() + %(tolerance)s
    RETURNING true
"""
_WRITE_WAIT = """
    SELECT extract(epoch FROM next_write - clock_timestamp())::float8 FROM livehouse_writes WHERE account_id = %s
"""
_SET_QUOTA = """
    UPDATE livehouse_budget SET credit = %s, credit_ends = clock_timestamp() + make_interval(secs => %s)
    WHERE account_id = %s
"""


class SharedBudget:
    """As `Budget`, for all processes of one account."""

    def __init__(
        self,
        connect: Callable[[], "psycopg.Connection"],
        account_id: str,
        requests_per_second: float,
        notify: Notify = lambda _: None,
    ) -> None:
        """Create the budget without connecting. `connect` opens a session in autocommit mode."""
        self._notice = WaitNotice(notify)
        self._connect = connect
        self._account_id = account_id
        self._interval = request_interval(requests_per_second)
        interval = timedelta(seconds=self._interval)
        self._writing = {"account_id": account_id, "interval": interval, "tolerance": WRITE_TOLERANCE * interval}
        self.write_spacing = WriteSpacing(self._interval, self._wait_to_write) if self._interval else None
        self._taking = {"account_id": account_id, "interval": interval, "max_catch_up": MAX_CATCH_UP}
        self._session: psycopg.Connection | None = None
        self._lock = threading.Lock()
        self._slot_lock = threading.Lock()
        self._in_flight = 0
        self.remaining: int | None = None

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for the next slot, then count as in flight in this process until the block ends."""
        with self._slot_lock:  # one thread of this process queries, the others wait for it
            while not self._execute(_TAKE, self._taking):
                seconds = max(0.0, float(str(self._execute(_WAIT, [self._account_id]))))
                self._notice.report(seconds, time.monotonic() + seconds)
                time.sleep(seconds)
        with self._lock:
            self._in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= 1

    def _wait_to_write(self) -> None:
        """Wait until no request that another machine has written is too close.

        Between its slot and the write, each machine may be held up for a different time.
        """
        while not self._execute(_WRITE, self._writing):
            time.sleep(max(0.0, float(str(self._execute(_WRITE_WAIT, [self._account_id])))))

    def pause(self, seconds: float, reason: str = "") -> None:
        """Start no request on any machine for this long."""
        self._notice.set_reason(seconds, reason)
        self._execute(_PAUSE, [seconds, self._account_id])

    def update_from_headers(self, headers: Mapping[str, str]) -> None:
        """Take over the remaining quota of a reply's headers. Requests in flight on other machines are unknown here."""
        limit = parse_ratelimit(headers, time.time())
        if limit:
            remaining, seconds = limit
            with self._lock:
                self.remaining, others_in_flight = remaining, self._in_flight - 1
            quota = None if is_subsecond_window(seconds, self._interval) else remaining - others_in_flight
            self._execute(_SET_QUOTA, [quota, seconds, self._account_id])

    def close(self) -> None:
        """Close the session."""
        if self._session:
            self._session.close()

    def _execute(self, statement: str, parameters: Mapping[str, object] | list[object]) -> object:
        import psycopg

        try:
            with self._lock:
                if self._session is None or self._session.broken:
                    self._session = self._open_session()
            found = self._session.execute(statement, parameters)
            row = found.fetchone() if found.description else None
        except psycopg.Error as error:
            message = str(error).splitlines()[0]
            raise WarehouseError(f"cannot read the request budget from PostgreSQL: {message}; run again") from None
        return row[0] if row else None

    def _open_session(self) -> "psycopg.Connection":
        session = self._connect()
        with session.transaction():
            session.execute("SELECT pg_advisory_xact_lock(hashtextextended('livehouse_budget', 0))")
            for table, statement in (("livehouse_budget", _CREATE), ("livehouse_writes", _CREATE_WRITES)):
                session.execute(statement)
                session.execute(f"INSERT INTO {table} VALUES (%s) ON CONFLICT DO NOTHING", [self._account_id])
        return session

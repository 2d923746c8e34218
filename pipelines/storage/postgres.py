"""PostgreSQL, which holds the catalog of a lakehouse: connections, direct queries, and the advisory locks of runs."""

import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from pipelines.clock import machine_now
from pipelines.errors import AlreadyRunningError, SettingsError, WarehouseError
from pipelines.text import quoted

if TYPE_CHECKING:
    import psycopg

_CONNECT_TIMEOUT_SECONDS = 10

_SERVER_KEEPALIVES = (
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=60000"
)
"""PostgreSQL detects a dead client within a minute, and releases its locks. The default is two hours."""

_CLIENT_KEEPALIVES = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""We detect a dead server as fast."""

_READ_ONLY = "-c default_transaction_read_only=on"
"""PostgreSQL then refuses writes from a reader's session, whatever the privileges of its role."""

_REMEDIES = {
    "password authentication failed|no password supplied": "correct the password in {}, in PGPASSWORD or in ~/.pgpass",
    'database ".*" does not exist': "create it as deploy/postgres/roles.sql does, or correct dbname in {}",
    'role ".*" does not exist': "create it as deploy/postgres/roles.sql does, or correct user in {}",
    "no pg_hba.conf entry": "add this role and host to the server's pg_hba.conf, or correct sslmode in {}",
    "certificate|SSL": "correct sslmode and sslrootcert in {}",
    "remaining connection slots|too many connections": "raise max_connections of PostgreSQL, or start fewer workers",
    "resolve host|translate host name": "correct host in {}",
}
_DEFAULT_REMEDY = "start PostgreSQL, or correct {}"

_PASSWORD_VARIABLE = "PGPASSWORD"  # noqa: S105 - a variable's name
"""libpq, and therefore DuckDB, sends its value to any host that asks for a password."""

_MAX_CLOCK_SKEW_SECONDS = 60
"""Machines that share a lakehouse compare each other's timestamps."""


class Role(NamedTuple):
    """A PostgreSQL role, and its privileges on a lakehouse."""

    name: str
    is_superuser: bool
    can_write: bool


class Catalog:
    """The connection parameters of a catalog. The password leaves this class only for PostgreSQL and for DuckDB's secrets."""

    def __init__(
        self, conninfo: SecretStr, *, variable: str = "LIVEHOUSE_WAREHOUSE", is_read_only: bool = False
    ) -> None:
        """Parse a libpq connection string: `host=… dbname=… user=…` or `postgresql://…`. Errors name `variable`."""
        self._variable = variable
        if find_spec("psycopg") is None:
            raise SettingsError(
                f"{variable} is a lakehouse, and psycopg is not installed: pip install 'livehouse[lakehouse]'"
            )
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            options = conninfo_to_dict(conninfo.get_secret_value())
        except ProgrammingError:
            raise SettingsError(
                f"{variable} is malformed: after ducklake:postgres: it takes `host=… dbname=… user=…`"
                " or postgresql://…, as PostgreSQL's own programs do"
            ) from None
        self.names_password = any(options.get(name) for name in ("password", "sslpassword"))
        self._password = str(options.pop("password", "") or os.environ.get(_PASSWORD_VARIABLE, ""))
        self._options = _CLIENT_KEEPALIVES | {name: str(value) for name, value in options.items() if value is not None}
        server_options = (_SERVER_KEEPALIVES, _READ_ONLY if is_read_only else "", self._options.get("options", ""))
        self._options["options"] = " ".join(filter(None, server_options))
        self.address = "ducklake:postgres:" + " ".join(
            f"{name}={self._options[name]}" for name in ("host", "port", "dbname", "user") if name in self._options
        )

    def connect(self) -> "psycopg.Connection":
        """Open a session with autocommit. Raises `WarehouseError` if PostgreSQL cannot be reached."""
        import psycopg

        options = {"connect_timeout": _CONNECT_TIMEOUT_SECONDS, "application_name": "livehouse"}
        password = {"password": self._password} if self._password else {}
        try:
            return psycopg.connect(autocommit=True, **(options | self._options | password))  # type: ignore[arg-type]  # options by name
        except psycopg.OperationalError as error:
            message = self.mask_password(" ".join(str(error).split()))
            remedy = next((remedy for part, remedy in _REMEDIES.items() if re.search(part, message)), _DEFAULT_REMEDY)
            raise WarehouseError(f"{self.address}: {message}; {remedy.format(self._variable)}") from None

    def check_clock(self, session: "psycopg.Connection") -> None:
        """Raise `WarehouseError` if this machine's clock differs from PostgreSQL's by more than `_MAX_CLOCK_SKEW_SECONDS`."""
        [(server_now,)] = session.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchall()
        ahead_seconds = (machine_now() - server_now).total_seconds()
        if abs(ahead_seconds) > _MAX_CLOCK_SKEW_SECONDS:
            raise WarehouseError(
                f"this machine's clock is {abs(ahead_seconds):.0f} s {'ahead of' if ahead_seconds > 0 else 'behind'} that of"
                f" {self.address}: synchronize it (NTP), since the machines compare each other's timestamps"
            )

    def create_secret_sql(self) -> str:
        """Return the statement that gives a DuckDB connection the credentials, as a secret that DuckDB does not show."""
        options = {"host": "HOST", "port": "PORT", "dbname": "DBNAME", "user": "USER"}
        parts = [f"{option} {quoted(self._options[name])}" for name, option in options.items() if name in self._options]
        parts += [f"PASSWORD {quoted(self._password)}"] if self._password else []
        return f"CREATE SECRET livehouse_catalog ({', '.join(['TYPE postgres', *parts])})"

    def role(self) -> Role:
        """Return the role of this catalog and its privileges."""
        query = (
            "SELECT current_user::text, rolsuper, has_table_privilege('ducklake_metadata', 'INSERT, UPDATE, DELETE')"
            " OR has_schema_privilege(current_schema(), 'CREATE') FROM pg_roles WHERE rolname = current_user"
        )
        with self.connect() as session:
            [(name, is_superuser, can_write)] = session.execute(query).fetchall()
        return Role(name, is_superuser=is_superuser, can_write=can_write)

    @property
    def other_options(self) -> str:
        """The options that DuckDB's secret does not take, such as `sslmode=require`."""
        return " ".join(
            f"{name}={quoted(value)}"
            for name, value in self._options.items()
            if name not in {"host", "port", "dbname", "user"}
        )

    def mask_password(self, text: str) -> str:
        """Replace the password in a text by asterisks."""
        return text.replace(self._password, "***") if self._password else text


@contextmanager
def hide_password_variable() -> Iterator[None]:
    """Remove the password from the environment, since a query could have it sent to another host."""
    password = os.environ.pop(_PASSWORD_VARIABLE, None)
    try:
        yield
    finally:
        if password is not None:
            os.environ[_PASSWORD_VARIABLE] = password


_KEY = "hashtextextended(%s, 0)"
_ACTIVE_RUN = "a run of livehouse"
"""The name of a lock that every run holds, shared: polling pauses meanwhile."""


def mark_as_run(session: "psycopg.Connection") -> None:
    """Let other sessions find this one as that of a run, as long as it is open."""
    name = f"livehouse PID {os.getpid()} on {socket.gethostname()}"
    session.execute(
        f"SELECT set_config('application_name', %s, false), pg_advisory_lock_shared({_KEY})", [name, _ACTIVE_RUN]
    )


def find_active_run(session: "psycopg.Connection") -> str | None:
    """Return the process of a run on any machine, as `PID n on host`; None if there is none."""
    query = f"""
        SELECT application_name FROM pg_locks JOIN pg_stat_activity AS activity USING (pid)
        WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = {_KEY}
            AND datname = current_database() ORDER BY backend_start LIMIT 1
    """
    found = _fetch_value(session, query, _ACTIVE_RUN)
    return None if found is None else str(found).removeprefix("livehouse ")


def can_execute(session: "psycopg.Connection") -> bool:
    """Return whether a session can execute a statement; if not, its locks are released when it ends.

    Dagster's interrupt of a run leaves a session in the middle of a statement, and an error would replace the interrupt.
    """
    from psycopg.pq import TransactionStatus

    return session.info.transaction_status == TransactionStatus.IDLE


def try_advisory_lock(session: "psycopg.Connection", name: str) -> bool:
    """Take an advisory lock, if no other session holds it, until the session unlocks it or ends."""
    return bool(_fetch_value(session, f"SELECT pg_try_advisory_lock({_KEY})", name))


@contextmanager
def advisory_lock(
    session: "psycopg.Connection", name: str, *, wait_seconds: float, log: Callable[[str], None]
) -> Iterator[None]:
    """Hold an advisory lock, which PostgreSQL releases when the session ends. Wait for it, and log that once.

    Raises `AlreadyRunningError` after `wait_seconds`.
    """
    import psycopg

    if not try_advisory_lock(session, name):
        log(f"waiting for another run, which is working on {name}")
        session.execute(f"SET lock_timeout = {max(1, int(wait_seconds * 1000))}")
        try:
            session.execute(f"SELECT pg_advisory_lock({_KEY})", [name])
        except psycopg.errors.LockNotAvailable:
            session.execute("RESET lock_timeout")
            raise AlreadyRunningError(
                f"another run is still working on {name} after {wait_seconds:.0f} s: wait for it, end it,"
                " or raise LIVEHOUSE_LOCK_WAIT_SECONDS"
            ) from None
        session.execute("RESET lock_timeout")
    try:
        yield
    finally:
        if can_execute(session):
            session.execute(f"SELECT pg_advisory_unlock({_KEY})", [name])


@contextmanager
def advisory_locks(
    session: "psycopg.Connection", names: Sequence[str], *, wait_seconds: float, log: Callable[[str], None]
) -> Iterator[None]:
    """Hold several advisory locks, taken by one statement if all are free.

    If one is not, all are taken in alphabetical order: two runs that each waited for a lock of the other would wait for ever.
    """
    ordered = sorted(names)
    taken = session.execute(
        "SELECT name FROM unnest(%s::text[]) AS name WHERE pg_try_advisory_lock(hashtextextended(name, 0))", [ordered]
    ).fetchall()
    if len(taken) == len(ordered):
        try:
            yield
        finally:
            _unlock(session, ordered)
        return
    _unlock(session, [name for (name,) in taken])
    with ExitStack() as locks:
        for name in ordered:
            locks.enter_context(advisory_lock(session, name, wait_seconds=wait_seconds, log=log))
        yield


def _unlock(session: "psycopg.Connection", names: Sequence[str]) -> None:
    if can_execute(session):
        session.execute(
            "SELECT count(pg_advisory_unlock(hashtextextended(name, 0))) FROM unnest(%s::text[]) AS name", [names]
        )


def take_turn(session: "psycopg.Connection | None", patience: timedelta) -> AbstractContextManager[None]:
    """Let transactions that conflicted run one at a time: of four runs, one lost against the others for three minutes."""
    if session is None:
        return nullcontext()
    return advisory_lock(session, "a conflict", wait_seconds=patience.total_seconds(), log=lambda _: None)


def _fetch_value(session: "psycopg.Connection", query: str, *parameters: str) -> object:
    row = session.execute(query, parameters).fetchone()
    return row[0] if row else None


def find_data_path(session: "psycopg.Connection") -> str | None:
    """Return where the files of the lakehouse are, as set when it was created; None if there is no lakehouse yet."""
    if _fetch_value(session, "SELECT to_regclass('ducklake_metadata')::text") is None:
        return None
    found = _fetch_value(session, "SELECT value FROM ducklake_metadata WHERE key = 'data_path'")
    return None if found is None else str(found)

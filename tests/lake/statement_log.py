"""The statements that PostgreSQL receives."""

import re

from tests.postgres import Postgres

STATEMENT = re.compile(r"LOG:  (?:statement|execute [^:]*): (\w+)")


class StatementLog:
    """The statements that PostgreSQL has received for a database, from its log."""

    def __init__(self, postgres: Postgres, lake: str) -> None:
        self._file = postgres.directory / "log"
        postgres.execute(f"ALTER DATABASE {lake.rpartition('=')[2]} SET log_statement = 'all'")
        self._begin = self._file.stat().st_size

    def take(self) -> list[str]:
        """Return the first word of each statement since the last call."""
        with self._file.open("rb") as log:
            log.seek(self._begin)
            written = log.read()
        self._begin += len(written)
        return STATEMENT.findall(written.decode())

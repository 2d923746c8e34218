"""The statements that create an empty history of Dagster, generated with the package (`hatch_build.py`).

Dagster creates a history by SQLAlchemy and alembic, of which no other run needs the second: half a second in each new home.
"""

import json
import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

import dagster

from pipelines.files import PACKAGE_DATA

PACKAGED_HISTORY = PACKAGE_DATA / f"history-{dagster.__version__}.json"
"""Is missing if another version of Dagster was there when the package was built."""

_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX ")
_TIME = re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?'")


def create_history(home: Path) -> None:
    """Create the files of the history that are missing.

    Without statements of this version of Dagster, or if a file cannot be written, Dagster creates it, and reports errors.
    """
    try:
        packaged = json.loads(PACKAGED_HISTORY.read_bytes())
    except (OSError, ValueError):
        return
    for name, statements in packaged.items():
        file = home / name
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            temporary = file.with_name(f".{file.name}.new")
            temporary.unlink(missing_ok=True)  # of a killed process
            with suppress(sqlite3.Error):
                with closing(sqlite3.connect(temporary)) as connection:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.executescript(statements)
                temporary.replace(file)


def package_history(home: Path, files: Iterable[Path]) -> None:
    """Save the statements that create these files of a new history with the package."""
    statements = {}
    for file in files:
        with closing(sqlite3.connect(file)) as connection:
            *dump, commit = connection.iterdump()
        # SQLAlchemy creates indexes in any order: sorted, each build writes the same file.
        ordered = sorted(dump, key=lambda statement: statement if _INDEX.match(statement) else "")
        statements[f"{file.relative_to(home)}"] = _TIME.sub("CURRENT_TIMESTAMP", "\n".join([*ordered, commit]))
    PACKAGED_HISTORY.write_text(json.dumps(statements), encoding="utf-8")

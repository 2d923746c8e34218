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

_FILE = PACKAGE_DATA / "history.json"
_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX ")
_TIME = re.compile(r"'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?'")


def create_history(home: Path) -> None:
    """Create the files of the history that are missing, unless the statements are those of another version of Dagster.

    Without statements, or if a file cannot be written, Dagster creates it, and reports errors.
    """
    try:
        content = json.loads(_FILE.read_bytes())
    except (OSError, ValueError):
        return
    if content["dagster"] != dagster.__version__:
        return
    for name, statements in content["files"].items():
        file = home / name
        if not file.exists():
            with suppress(sqlite3.Error):
                file.parent.mkdir(parents=True, exist_ok=True)
                with closing(sqlite3.connect(file)) as connection:
                    connection.execute("PRAGMA journal_mode = WAL")
                    connection.executescript(statements)  # one transaction


def package_history(home: Path, files: Iterable[Path]) -> None:
    """Save the statements that create these files of a new history with the package."""
    statements = {}
    for file in files:
        with closing(sqlite3.connect(file)) as connection:
            *dump, commit = connection.iterdump()
        # SQLAlchemy creates indexes in any order: sorted, each build writes the same file.
        ordered = sorted(dump, key=lambda statement: statement if _INDEX.match(statement) else "")
        statements[f"{file.relative_to(home)}"] = _TIME.sub("CURRENT_TIMESTAMP", "\n".join([*ordered, commit]))
    temporary = _FILE.with_suffix(".tmp")
    temporary.write_text(json.dumps({"dagster": dagster.__version__, "files": statements}), encoding="utf-8")
    temporary.replace(_FILE)

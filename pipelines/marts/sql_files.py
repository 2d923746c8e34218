"""The directory of the SQL files."""

from pathlib import Path


def sql_directory() -> Path:
    """Return `sql/`: inside the package once installed, beside it in a checkout."""
    here = Path(__file__).resolve()
    inside = here.parents[1] / "sql"
    return inside if inside.is_dir() else here.parents[2] / "sql"

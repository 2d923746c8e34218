"""Finds the marts that need no build, by one comparison of all inputs."""

from collections.abc import Collection

from duckdb import DuckDBPyConnection

from pipelines.marts.build import Mart, find_builds
from pipelines.marts.inputs import find_changed


def find_up_to_date(connection: DuckDBPyConnection, marts: Collection[Mart]) -> dict[str, int]:
    """Return the number of rows of each mart for which `build_mart` has nothing to do, by full name."""
    changed = find_changed(connection, {mart.full_name: mart.inputs for mart in marts})
    built = find_builds(connection)
    current = [
        mart.full_name for mart in marts if mart.full_name not in changed and built.get(mart.full_name) == mart.sql_hash
    ]
    if not current:
        return {}
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in current)
    return dict(connection.execute(counts).fetchall())

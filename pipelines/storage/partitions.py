"""Partitions of a lakehouse's tables: by app, and for many apps by a hash of the app.

A file per app and day is what a small account reads fastest. A thousand apps would write 365,000 files of 3 KB a year, and DuckLake
merges files of one partition only.
"""

from collections.abc import Iterable

import duckdb

from pipelines.catalog.ops import DAYS
from pipelines.catalog.types import Table

MANY_APPS = 50
"""From this number of apps on, maintenance partitions by hash: new files then hold several apps, once they are merged."""

BUCKETS = 16

_BY_HASH = """
    SELECT DISTINCT schema_name || '.' || table_name FROM __ducklake_metadata_lake.ducklake_partition_column AS part
    JOIN __ducklake_metadata_lake.ducklake_partition_info AS info USING (partition_id, table_id)
    JOIN __ducklake_metadata_lake.ducklake_table AS tab USING (table_id)
    JOIN __ducklake_metadata_lake.ducklake_schema AS sch USING (schema_id)
    WHERE info.end_snapshot IS NULL AND tab.end_snapshot IS NULL AND sch.end_snapshot IS NULL AND starts_with(transform, 'bucket')
"""


def list_partition_changes(connection: duckdb.DuckDBPyConnection, tables: Iterable[Table]) -> list[str]:
    """List the statements that partition tables by hash; none with few apps, or if they are already. Existing files stay."""
    [(apps,)] = connection.execute(f"SELECT count(DISTINCT app_id) FROM {DAYS.full_name}").fetchall()
    if apps < MANY_APPS:
        return []
    done = {name for (name,) in connection.execute(_BY_HASH).fetchall()}
    return [
        f"ALTER TABLE {table.full_name} SET PARTITIONED BY ({', '.join(_partition_by_hash(table))})"
        for table in tables
        if table.partition and table.full_name not in done
    ]


def _partition_by_hash(table: Table) -> list[str]:
    """Replace the app by its hash, and the day by its month. `month(day)` alone would be the same in every year."""
    coarse = {"app_id": [f"bucket({BUCKETS}, app_id)"], "day": ["year(day)", "month(day)"]}
    return [part for key in table.partition for part in coarse.get(key, [key])]

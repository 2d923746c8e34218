"""Identifies the columns of a core table and the rules that read them, to rebuild it when they change."""

from hashlib import sha256

from pipelines.catalog.types import Table

RULES_VERSION = 4
"""Raise it with every change to what a value, a key, a day or the current version of a record is.

Rows built with other rules are then rebuilt from raw by the next run, whether or not the source still has them.
"""


def fingerprint(table: Table) -> str:
    """Return a digest that differs when a rebuild of the table from raw could give other rows."""
    columns = [(column.name, column.logical_type, column.source_field, column.is_measure) for column in table.columns]
    return sha256(repr((RULES_VERSION, table.key, columns)).encode()).hexdigest()

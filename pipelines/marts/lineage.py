"""Column lineage of marts."""

from pipelines.marts.build import Mart
from pipelines.marts.parsed_sql import Source, TableColumns, read_lineage


def column_lineage(mart: Mart) -> dict[str, tuple[Source, ...]]:
    """Return the columns from which each column of a mart is computed, without those that only join or filter rows."""
    marts = {other.full_name: TableColumns(tuple(other.columns), other.grain) for other in mart.builds_on}
    return read_lineage(mart.sql, marts)

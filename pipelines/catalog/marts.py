"""The tables that record the builds of marts."""

from pipelines.catalog.types import Column, Table

MART_BUILDS = Table(
    "ops",
    "mart_builds",
    "When each mart was last built, and by which SQL.",
    ("mart_name",),
    (
        Column("mart_name", "text", "Mart"),
        Column("sql_hash", "text", "SHA-256 of the SQL file"),
        Column("built_at", "timestamp", "Time of the last refresh, UTC"),
    ),
    unique=True,
)
MART_INPUTS = Table(
    "ops",
    "mart_inputs",
    "Inputs of the last build of each mart: a digest for each day, livestream or table it reads. See `marts/inputs.py`.",
    ("mart_name", "table_name", "key"),
    (
        Column("mart_name", "text", "Mart"),
        Column("table_name", "text", "Table that the mart reads"),
        Column("key", "count", "Days since 1970-01-01, digest of a livestream's key, or 0 for the whole table"),
        Column("digest", "count", "Digest of the columns that the mart reads under that key"),
    ),
)

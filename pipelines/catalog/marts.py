"""What is noted of each build of a mart."""

from pipelines.catalog.types import Column, Table

MART_BUILDS = Table(
    "ops",
    "mart_builds",
    "When each mart was last built, and from which text of its SQL.",
    ("mart_name",),
    (
        Column("mart_name", "text", "mart"),
        Column("sql_hash", "text", "SHA-256 of its file"),
        Column("built_at", "timestamp", "when it was last brought up to date, UTC"),
    ),
    unique=True,
)
MART_INPUTS = Table(
    "ops",
    "mart_inputs",
    "What each mart was last built from: a digest for each day, livestream or table it reads. See `marts/inputs.py`.",
    ("mart_name", "table_name", "key"),
    (
        Column("mart_name", "text", "mart"),
        Column("table_name", "text", "table it reads"),
        Column("key", "count", "days since 1970-01-01, digest of a livestream's key, or 0 for the whole table"),
        Column("digest", "count", "digest of what the mart reads under that key"),
    ),
)

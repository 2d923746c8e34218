"""The tables of each database file."""

from pipelines.catalog.alerts import DIGESTS, INCIDENTS
from pipelines.catalog.core import LIVE_OBSERVATIONS
from pipelines.catalog.cost import CLOSED, TERMS
from pipelines.catalog.live import POLLS, RAW_LIVE_OBSERVATIONS
from pipelines.catalog.marts import MART_BUILDS, MART_INPUTS
from pipelines.catalog.ops import (
    API_DIALECT,
    AUDITS,
    BACKFILLS,
    DAYS,
    FIELD_TYPES,
    FINGERPRINTS,
    LANDINGS,
    LIVESTREAM_LISTS,
    LIVESTREAM_SYNC,
    LOADS,
    MISSING_DAYS,
    QUARANTINE,
    SCHEMA_VERSIONS,
    SHRINKS,
)
from pipelines.catalog.streams import CORE_TABLES, STREAMS

MIRRORED = (LIVESTREAM_SYNC, FIELD_TYPES)
"""Tables of `pipeline_raw.duckdb` that are copied into the warehouse, since raw is not published."""

WAREHOUSE_FILE = (
    *CORE_TABLES,
    LIVE_OBSERVATIONS,
    LOADS,
    QUARANTINE,
    DAYS,
    MISSING_DAYS,
    SHRINKS,
    MART_BUILDS,
    MART_INPUTS,
    API_DIALECT,
    AUDITS,
    INCIDENTS,
    DIGESTS,
    FINGERPRINTS,
    SCHEMA_VERSIONS,
    *TERMS,
    *CLOSED,
    *MIRRORED,
)
"""Tables of `pipeline.duckdb`, and so of the published `warehouse.duckdb`."""

RAW_FILE = (
    *(stream.raw for stream in STREAMS),
    LIVESTREAM_SYNC,
    FIELD_TYPES,
    BACKFILLS,
    LANDINGS,
    LIVESTREAM_LISTS,
    SCHEMA_VERSIONS,
)
"""Tables of `pipeline_raw.duckdb`. The state of extraction is committed with the records it comes from."""

LIVE_FILE = (RAW_LIVE_OBSERVATIONS, POLLS, QUARANTINE, API_DIALECT)
"""Tables of `pipeline_live.duckdb`. Its quarantine holds the rejected records of the last poll only."""

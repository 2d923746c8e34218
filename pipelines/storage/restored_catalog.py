"""Detects a catalog that was restored over a newer one.

DuckLake creates tables for rows that it keeps in the catalog, and for those that were deleted from a file, when it first needs
them. `pg_restore --clean` drops only tables that the dump has. DuckLake would use the others again, and count their rows,
once the catalog reaches the number of the snapshot that they belong to.
"""

from typing import TYPE_CHECKING

from pipelines.errors import WarehouseError

if TYPE_CHECKING:
    import psycopg

_FIND = r"""
DO $$
DECLARE name text; is_newer boolean;
BEGIN
    FOR name IN SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
        AND relname ~ '^ducklake_inlined_(data|delete)_\d'
    LOOP
        EXECUTE format(
            'SELECT EXISTS (SELECT FROM %I WHERE begin_snapshot > (SELECT max(snapshot_id) FROM ducklake_snapshot))', name
        ) INTO is_newer;
        IF is_newer THEN
            RAISE EXCEPTION USING ERRCODE = 'data_corrupted', MESSAGE = name;
        END IF;
    END LOOP;
END $$
"""


def check_restored(session: "psycopg.Connection", address: str) -> None:
    """Raise `WarehouseError` if a table has rows of a snapshot that does not exist yet. One statement."""
    import psycopg

    try:
        session.execute(_FIND)
    except psycopg.errors.DataCorrupted as error:
        raise WarehouseError(
            f"{address} was restored over a newer catalog, and {error.diag.message_primary} still has rows of that, which would be"
            " counted again: drop the database, and restore the dump into a new one (`pg_restore --create`)"
        ) from None

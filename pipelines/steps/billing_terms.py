"""Write rates, allowances and customers from the settings into the warehouse, where marts read them."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import duckdb
import polars as pl

from pipelines.catalog.cost import ALLOWANCES, CUSTOMERS, RATES
from pipelines.catalog.ops import DAYS
from pipelines.catalog.types import Table
from pipelines.settings.billing_terms import BillingTerms
from pipelines.settings.settings import Settings
from pipelines.storage.frames import read_frame, temporary_view
from pipelines.storage.warehouse import EVERY_APP, Warehouse
from pipelines.telemetry.logs import log


def write_billing_terms(warehouse: Warehouse, settings: Settings, terms: BillingTerms) -> None:
    """Bring the three tables up to date. Tables that would stay the same are not written, so that no mart is rebuilt.

    Raises `SettingsError` if an allowance is for an unknown app.
    """
    with warehouse.snapshot(), warehouse.open_working() as connection:
        loaded = {
            app_id for (app_id,) in connection.execute(f"SELECT DISTINCT app_id FROM {DAYS.full_name}").fetchall()
        }
        terms.check_apps(settings, loaded)
        changed = list(_find_changed_terms(connection, settings, terms, loaded))
    for table, rows in changed:
        with warehouse.lock_table(table.full_name, EVERY_APP):
            warehouse.write(partial(_replace, table=table, rows=rows))
        if table is not RATES:  # the first run and each new app change that one
            log(f"{table.full_name} now has {rows.height:,} rows, as the settings say")


def _find_changed_terms(
    connection: duckdb.DuckDBPyConnection, settings: Settings, terms: BillingTerms, loaded: set[str]
) -> Iterator[tuple[Table, pl.DataFrame]]:
    """Yield each of the three tables whose rows differ from the settings, with the rows that it should have.

    `loaded` are the apps with loaded days, which have rates even if the settings no longer name them.
    """
    apps = sorted({*settings.app_ids, *loaded})
    wanted: tuple[tuple[Table, Sequence[tuple[Any, ...]]], ...] = (
        (RATES, [(app_id, *_rates_of(settings, app_id)) for app_id in apps]),
        (ALLOWANCES, terms.allowances),
        (CUSTOMERS, terms.customers),
    )
    for table, tuples in wanted:
        rows = pl.DataFrame(tuples, schema=table.polars_schema, orient="row").sort(table.key)
        query = f"SELECT {', '.join(table.column_names)} FROM {table.full_name}"
        if not read_frame(connection, query).sort(table.key).equals(rows):
            yield table, rows


def _rates_of(settings: Settings, app_id: str) -> tuple[str, float, float]:
    if app_id in settings.audio_apps:
        return "audio", settings.audio_export_rate, settings.audio_participant_rate
    return "video", settings.export_rate, settings.participant_rate


def _replace(connection: duckdb.DuckDBPyConnection, table: Table, rows: pl.DataFrame) -> None:
    with temporary_view(connection, "rows_of_settings", rows):
        connection.execute("BEGIN")
        connection.execute(f"DELETE FROM {table.full_name}")
        connection.execute(f"INSERT INTO {table.full_name} BY NAME SELECT * FROM rows_of_settings")
        connection.execute("COMMIT")

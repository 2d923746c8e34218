"""The weekly maintenance job. It is not an asset: it changes no data."""

import dagster as dg

from pipelines.settings.settings import Settings
from pipelines.steps.maintenance import keep_up


@dg.op(description="Merge small files, expire snapshots older than a week, and delete unreferenced files.")
def keep_warehouse_up(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Maintain the warehouse, and show the size of each table."""
    sizes = keep_up(settings)
    rows = [dg.TableRecord({"name": size.name, "files": size.files, "bytes": size.bytes}) for size in sizes]
    columns = [dg.TableColumn("name", "VARCHAR"), dg.TableColumn("files", "BIGINT"), dg.TableColumn("bytes", "BIGINT")]
    table = dg.MetadataValue.table(rows, schema=dg.TableSchema(columns=columns))
    context.add_output_metadata({"bytes": sum(size.bytes for size in sizes), "sizes": table})


@dg.job(description="Weekly maintenance of a lakehouse, and the size of each table; for files, the sizes only.")
def upkeep() -> None:
    """Run the maintenance in one step."""
    keep_warehouse_up()

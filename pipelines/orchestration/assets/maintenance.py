"""The weekly job. No asset: it makes nothing, and changes no figure."""

import dagster as dg

from pipelines.settings.settings import Settings
from pipelines.steps.maintenance import keep_up


@dg.op(description="Merge small files, forget snapshots of more than a week ago, remove what nobody refers to.")
def keep_warehouse_up(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Do it, and show what each table takes up."""
    sizes = keep_up(settings)
    rows = [dg.TableRecord({"name": size.name, "files": size.files, "bytes": size.bytes}) for size in sizes]
    columns = [dg.TableColumn("name"), dg.TableColumn("files", "int"), dg.TableColumn("bytes", "int")]
    shown = dg.MetadataValue.table(rows, schema=dg.TableSchema(columns=columns))
    context.add_output_metadata({"bytes": sum(size.bytes for size in sizes), "sizes": shown})


@dg.job(description="What a lakehouse needs once a week, and a report of sizes; of a file, the sizes alone.")
def upkeep() -> None:
    """One step."""
    keep_warehouse_up()

"""`upkeep`: what the weekly job does."""

import click


@click.command("upkeep")
@click.option("--keep-days", type=click.FloatRange(0, 3650), help="Days for which nothing is removed; 7 if not given.")
def upkeep_command(keep_days: float | None) -> None:
    """Merge a lakehouse's small files, forget old snapshots, remove what nobody refers to; show all sizes.

    Runs and readers may go on. Of a file there is nothing to do but to show sizes.
    """
    from pipelines.settings.settings import load_settings
    from pipelines.steps.maintenance import KEEP_DAYS, keep_up

    for size in keep_up(load_settings(), keep_days=KEEP_DAYS if keep_days is None else keep_days):
        click.echo(f"{size.name}\t{size.files}\t{size.bytes}")

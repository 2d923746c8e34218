"""`upkeep`: what the weekly job does."""

import click


@click.command("upkeep")
@click.option("--keep-days", type=click.FloatRange(0, 3650), help="Days for which nothing is removed; 7 if not given.")
def upkeep_command(keep_days: float | None) -> None:
    """Merge a lakehouse's small files, forget old snapshots, remove what nobody refers to; show all sizes.

    Runs and readers may go on. Of a file there is nothing to do but to show sizes.
    """
    from pipelines.settings import load_settings  # noqa: PLC0415 - kept out of --help
    from pipelines.steps.upkeep import KEEP_DAYS, keep_up  # noqa: PLC0415 - kept out of --help

    for size in keep_up(load_settings(), keep_days=KEEP_DAYS if keep_days is None else keep_days):
        click.echo(f"{size.name}\t{size.files}\t{size.bytes}")

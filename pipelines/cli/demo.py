"""`demo`: the real pipeline on a simulated account."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.runs import finish, output_options

if TYPE_CHECKING:
    from pipelines.settings.settings import Settings


def demo_home(settings: "Settings") -> Path:
    """Where the demo loads."""
    return settings.home / "demo"


def demo_instead(settings: "Settings") -> Path | None:
    """The demo's home, said so, where no account is connected and nothing else was ever loaded: what a newcomer means."""
    home = demo_home(settings)
    is_chosen = settings.lakehouse or settings.reader_lakehouse or settings.warehouse_path or settings.account_id
    is_meant = not (is_chosen or settings.warehouse.exists())
    if not is_meant or not (home / "warehouse.duckdb").exists():
        return None
    click.echo(f"livehouse: nothing is loaded yet; these are the simulated figures of the demo ({home})", err=True)
    return home


@click.command("demo")
@output_options
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="Days to load.")
def demo_command(*, quiet: bool, as_json: bool, days: int) -> int:
    """Load 30 simulated days through the real pipeline into $LIVEHOUSE_HOME/demo. No account needed."""
    from datetime import timedelta

    from pipelines.cli.demo_directory import prepare_demo_directory
    from pipelines.clock import utc_now, yesterday
    from pipelines.settings.settings import load_demo_settings
    from pipelines.simulator.server import DEMO_APPS, Simulator, demo_world

    home = demo_home(load_demo_settings())
    prepare_demo_directory(home, DEMO_APPS)
    if not quiet:
        click.echo(
            "livehouse: loading a simulated account: no figure in it is real, and a few records are broken on purpose",
            err=True,
        )
    with Simulator(demo_world(utc_now())) as simulator:
        settings = load_demo_settings(
            CLOUDFLARE_API_TOKEN=simulator.token,
            CLOUDFLARE_ACCOUNT_ID=simulator.account_id,
            REALTIMEKIT_APP_ID=",".join(DEMO_APPS),
            CLOUDFLARE_BASE_URL=simulator.base_url,
            LIVEHOUSE_HOME=str(home),
            LIVEHOUSE_REQUESTS_PER_SECOND="0",
        )
        loaded = (yesterday() - timedelta(days=days - 1), yesterday())
        return finish(loaded, "backfill", quiet=quiet, as_json=as_json, settings=settings)

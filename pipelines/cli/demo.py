"""`demo`: run the real pipeline on a simulated account."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli.runs import output_options, run_and_report

if TYPE_CHECKING:
    from pipelines.settings.settings import Settings


def demo_home(settings: "Settings") -> Path:
    """Return the home of the demo."""
    return settings.home / "demo"


def find_demo_to_show(settings: "Settings") -> Path | None:
    """Return the demo's home if a demo was loaded and nothing else: no account is set, and there is no warehouse.

    Prints a message that the figures are simulated.
    """
    from pipelines.telemetry.logs import log

    home = demo_home(settings)
    is_configured = settings.lakehouse or settings.reader_lakehouse or settings.warehouse_path or settings.account_id
    if is_configured or settings.warehouse.exists() or not (home / "warehouse.duckdb").exists():
        return None
    log(f"livehouse: nothing is loaded yet; these are the simulated figures of the demo ({home})")
    return home


@click.command("demo")
@output_options
@click.option("--days", type=click.IntRange(1, 90), default=30, show_default=True, help="Days to load.")
def demo_command(*, quiet: bool, as_json: bool, days: int) -> int:
    """Load 30 simulated days with the real pipeline into $LIVEHOUSE_HOME/demo. Needs no account."""
    from datetime import timedelta

    from pipelines.cli.demo_directory import prepare_demo_directory
    from pipelines.clock import utc_now, yesterday
    from pipelines.settings.demo_settings import load_demo_settings
    from pipelines.simulator.server import DEMO_APPS, Simulator, demo_world
    from pipelines.telemetry.logs import log

    home = demo_home(load_demo_settings())
    prepare_demo_directory(home, DEMO_APPS)
    if not quiet:
        log(
            "livehouse: loading a simulated account: all figures are made up, and a few records are malformed on purpose"
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
        return run_and_report(loaded, "backfill", quiet=quiet, as_json=as_json, settings=settings)

"""`simulate`: serve the simulated API."""

import click

from pipelines.simulator.dialects import DIALECTS


@click.command("simulate")
@click.option("--port", type=click.IntRange(0, 65535), default=8787, show_default=True, help="0: any free port.")
@click.option(
    "--dialect",
    type=click.Choice(list(DIALECTS)),
    default="today",
    show_default=True,
    help="The vendor's current specification, or the document of 2025.",
)
@click.option(
    "--times",
    type=click.Choice(["unix", "iso", "both"]),
    help="Accept only this form of start_time and end_time in livestream analytics, whatever the dialect.",
)
@click.option(
    "--rounding",
    type=click.Choice(["none", "down", "up", "nearest"]),
    help="Round the totals of livestream analytics to whole seconds. [default: nearest, none in 2025]",
)
@click.option("--largest-page", type=click.IntRange(1), help="Refuse a larger per_page.")
@click.option(
    "--refuse",
    multiple=True,
    metavar="OPERATION[@DAY|@<DAY|@ID][=STATUS]",
    help="Refuse an operation, or its requests about a day, the time before a day, or a record. Repeatable.",
)
@click.option(
    "--faults",
    help="Faults to inject, as KIND,KIND:SHARE, e.g. server_error,cut_body:0.08. Kinds are listed in docs/reference/failures.md; groups of them: "
    "all, transient, hostile, drift, strange, forgetting.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the faults: the same requests meet the same faults."
)
def simulate_command(
    port: int,
    dialect: str,
    times: str | None,
    rounding: str | None,
    largest_page: int | None,
    refuse: tuple[str, ...],
    faults: str | None,
    seed: int,
) -> None:
    """Serve a simulated API on this machine until stopped, and print the settings that point to it."""
    from dataclasses import replace

    from pipelines.clock import utc_now
    from pipelines.errors import UsageError
    from pipelines.simulator.faults import FaultInjector
    from pipelines.simulator.refusals import Refusal
    from pipelines.simulator.server import Simulator, demo_world, serve
    from pipelines.telemetry.logs import log

    try:
        chosen = FaultInjector.parse(faults, seed=seed) if faults else None
        refusals = [Refusal.parse(each) for each in refuse]
    except ValueError as error:
        raise UsageError(str(error)) from None

    def on_ready(simulator: Simulator) -> None:
        for name, value in simulator.settings().items():
            click.echo(f"export {name}={value}")
        log("livehouse: serving until ctrl-C")

    world = demo_world(utc_now())
    world.rounding = rounding or ("none" if dialect == "2025" else "nearest")  # type: ignore[assignment]  # as --rounding lists them
    world.placeholders = dialect != "2025"
    world.start_clock()  # live sessions go on while they are served
    spoken = replace(DIALECTS[dialect], per_page_maximum=largest_page)
    if times:
        spoken = replace(spoken, times=times)  # type: ignore[arg-type]  # as --times lists them
    try:
        serve(Simulator(world, port=port, dialect=spoken, faults=chosen, refusals=refusals), on_ready=on_ready)
    except OSError as error:
        raise UsageError(f"cannot serve on port {port}: {error.strerror}; try --port 0") from None

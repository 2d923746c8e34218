"""Streams polled over HTTP minute by minute of the simulated clock, and the audience expected of them."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.live.staging import open_staging
from pipelines.live.steps import AppPollSummary, merge_observations, poll_apps
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.records import Session
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from pipelines.steps import report
from pipelines.steps.context import RunContext, make_client, open_run
from tests.fixed_clock import NOW
from tests.pipeline_runner import query

APP = "aula"
MIDNIGHT = datetime.combine(NOW.date() - timedelta(days=1), datetime.min.time())
MINUTE = timedelta(minutes=1)
Poll = Callable[[], list[AppPollSummary]]


def new_world(now: datetime = MIDNIGHT, *, streams: int = 0, values: Any = "mixed") -> World:
    world = World(now=now.replace(tzinfo=UTC), seed=3, values=values)
    world.add_app(APP)
    for number in range(streams):
        world.add_livestream(APP, name=f"Stream {number}", meeting_id=f"meeting-{number}" if number % 2 else None)
    return world


@contextmanager
def start_polling(simulator: Simulator, settings: Settings) -> Iterator[Poll]:
    """Yield a function that polls once, at the time of the simulated clock."""
    client = make_client(settings)
    try:
        yield lambda: poll_apps(settings, client, now=lambda: simulator.world.now.replace(tzinfo=None))
    finally:
        client.close()


def merge(settings: Settings, run_id: str = "run") -> RunContext:
    """Merge the observations and build the marts, as a run does."""
    with open_run(settings, run_id=run_id, full=False, allow_shrink=False, backfill=None) as run:
        merge_observations(run)
        report.refresh_marts(run, find_marts())
        report.publish_warehouse(run, None)
        return run


def staged_rows(settings: Settings) -> list[tuple[Any, ...]]:
    """The staged rows: those not merged yet, and those kept for two hours."""
    with open_staging(settings) as staging:
        return (
            staging.read_observations_since(MIDNIGHT - timedelta(days=9_999))
            .sort("observed_at", "livestream_id")
            .rows()
        )


def expected_viewer_seconds(world: World) -> dict[str, float]:
    """Viewer seconds of each livestream by the simulated world, of sessions whose figures are known."""
    return {
        one.id: sum(expected_figures(session, world.now_ms)[1] or 0.0 for session in one.sessions)
        for one in world.apps[APP].livestreams
    }


def expected_figures(session: Session, now_ms: int) -> tuple[float | None, float | None]:
    """Ingest and viewer seconds; unknown in the first minute on air, when the service may give placeholders."""
    is_young = session.started_ms is not None and session.is_live and now_ms - session.started_ms < 60_000
    return (None, None) if is_young else session.measures_at(now_ms)


def simulate_minutes(world: World, poll: Poll, minutes: int, *, seed: int = 1) -> None:
    """Start, stop, restart and break streams at any second, and poll at each full minute."""
    dice = random.Random(seed)
    streams = [one.id for one in world.apps[APP].livestreams]
    for _ in range(minutes):
        moments = sorted(dice.uniform(0, 60) for _ in streams)
        passed = 0.0
        for livestream_id, moment in zip(dice.sample(streams, len(streams)), moments, strict=True):
            world.advance(timedelta(seconds=moment - passed))
            passed = moment
            chance = dice.random()
            if world.apps[APP].by_id[livestream_id].open_session is None:
                if chance < 0.3:
                    begin = world.go_live if chance < 0.2 else world.invoke
                    begin(APP, livestream_id, audience=dice.uniform(0, 200))
            elif chance < 0.08:
                world.end_session(APP, livestream_id, err_message=dice.choice([None, None, "encoder lost"]))
                if dice.random() < 0.3:
                    world.go_live(APP, livestream_id, audience=dice.uniform(0, 50))
        world.advance(timedelta(seconds=60 - passed))
        assert not [summary.warnings for summary in poll() if summary.warnings]


def assert_audience_is_true(settings: Settings, world: World) -> None:
    """Compare the audience of each stream, integrated over its observations, with the sessions' viewer seconds, within 1 %."""
    observed = dict(query(settings, "SELECT livestream_id, sum(viewer_seconds) FROM marts.live_audience GROUP BY ALL"))
    truth = expected_viewer_seconds(world)
    assert {livestream for livestream, seconds in truth.items() if seconds} == set(observed)
    for livestream_id, seconds in observed.items():
        assert seconds == pytest.approx(truth[livestream_id], rel=0.01)
    invalid = "SELECT * FROM marts.live_audience WHERE viewer_seconds < 0 OR observed_seconds <= 0 OR observed_seconds > 60.001"
    assert query(settings, invalid) == []

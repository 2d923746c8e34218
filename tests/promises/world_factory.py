"""Small accounts for attacks, and what may happen in one from one day to the next."""

from datetime import datetime, timedelta
from typing import Any

from pipelines.clock import days_from
from pipelines.simulator.records import Usage
from pipelines.simulator.world import World
from tests.pipeline_runner import DAYS, FIRST, small_world

EARLIER = (FIRST - timedelta(days=20), FIRST - timedelta(days=1))


def tiny_world(**options: Any) -> World:
    """Two apps of eight livestreams each, with sessions on most of the days that tests load."""
    return small_world(**({"livestreams": 8, "sessions": 80, "days": 32, "on_air": 1} | options))


def change_everything(world: World, now: datetime | None = None) -> None:
    """Every day of the range gets other figures in every table, and a day long before it too."""
    world.now = world.now if now is None else now
    for app_id, app in world.apps.items():
        for number, day in enumerate(days_from(*DAYS)):
            stream = app.livestreams[number % len(app.livestreams)]
            created_at = datetime.combine(day, datetime.min.time(), world.now.tzinfo) + timedelta(hours=6)
            world.add_session(
                app_id, stream.id, created_at=created_at, ingest_seconds=600.0 + number, viewer_seconds=6_000.0
            )
            world.set_day(
                app_id, day, meetings=Usage(1_000 + number, 100_000.5), recordings=Usage(2_000 + number, 200_000.25)
            )
        weeks_ago = range(world.now_ms - 25 * 86_400_000, world.now_ms - 15 * 86_400_000)
        early = next(s for s in app.timeline if s.stopped_ms and s.reference_ms in weeks_ago)
        world.change_session(app_id, early.id, ingest_seconds=4_321.0, viewer_seconds=54_321.0)

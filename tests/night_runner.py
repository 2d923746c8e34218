"""Small worlds with known measures, runs night after night, and an API that refuses chosen requests."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from pipelines.catalog.streams import LOADED_STREAMS
from pipelines.clock import days_from
from pipelines.marts.build import find_marts
from pipelines.settings.settings import Settings
from pipelines.simulator.access import LoggedRequest
from pipelines.simulator.faults import Fault, FaultInjector
from pipelines.simulator.records import Usage
from pipelines.simulator.server import Simulator
from pipelines.simulator.transport_faults import FaultOptions
from pipelines.simulator.world import World
from pipelines.steps.context import RunContext, open_run
from pipelines.steps.extract_stream import extract_stream
from pipelines.steps.report import refresh_marts
from tests.fixed_clock import NOW, clock_set_to
from tests.pipeline_runner import run_pipeline, settings_for

APP = "aula"
LAST = NOW.date() - timedelta(days=1)
Serve = Callable[..., "NightRunner"]
"""Serves a world with this many livestreams; keywords are settings."""
WEEK = (LAST - timedelta(days=6), LAST)
NIGHT = (LAST - timedelta(days=2), LAST)


@dataclass(slots=True)
class Refusals(FaultInjector):
    """Fails every request for which `refused` is true with this status."""

    refused: Callable[[LoggedRequest], bool] = bool
    status: int = 500

    def next_fault(self, request: LoggedRequest) -> Fault | None:
        """Return the failure of a refused request."""
        if not self.refused(request):
            return None
        request.fault = "refused"
        return Fault("server_error", random.Random(0), FaultOptions(status=self.status))


def names_livestream(*livestream_ids: str) -> Callable[[LoggedRequest], bool]:
    """Return a condition for requests of the sessions of these livestreams."""
    return lambda request: request.operation == "get-livestream" and request.path.rpartition("/")[2] in livestream_ids


def at_hour(day: date, hour: float) -> datetime:
    """Return a time of a day."""
    return datetime.combine(day, time()) + timedelta(hours=hour)


def world_of(livestreams: int, days: tuple[date, date] = WEEK) -> World:
    """Return one app whose livestreams each have a session with 600 ingest and 6,000 viewer seconds per day."""
    world = World(now=NOW, values="numbers")
    world.add_app(APP)
    for number in range(livestreams):
        world.add_livestream(APP, name=f"l{number}", created_at=at_hour(days[0], -48) + timedelta(seconds=number))
    for day in days_from(*days):
        add_day(world, day)
    return world


def add_day(world: World, day: date, hour: float = 10) -> None:
    """Add another day like the others."""
    world.set_day(APP, day, meetings=Usage(1, 10.0), recordings=Usage(2, 20.0))
    for livestream in world.apps[APP].livestreams:
        world.add_session(
            APP, livestream.id, created_at=at_hour(day, hour), ingest_seconds=600.0, viewer_seconds=6_000.0
        )


def ids(world: World) -> list[str]:
    """Return the ids of the livestreams, oldest first."""
    return [livestream.id for livestream in world.apps[APP].livestreams]


class NightRunner:
    """Loads a home night after night, each night at its own time."""

    builds_marts = True
    """Whether nights build the marts. Without, `query_marts` builds those that it reads."""

    def __init__(self, simulator: Simulator, home: Path, **variables: str) -> None:
        self.simulator, self.world = simulator, simulator.world
        self.settings: Settings = settings_for(simulator, home, **variables)
        self.number = 0

    def load(
        self,
        days: tuple[date, date] = NIGHT,
        *,
        at: datetime = NOW,
        clock: timedelta = timedelta(0),
        backfill: bool = False,
        **flags: bool,
    ) -> RunContext:
        """Load days with the API's clock at `at` and this machine's ahead by `clock`. Clears the request log first."""
        self.number += 1
        self.world.now = at
        self.simulator.requests.clear()
        with clock_set_to(at + clock):
            return run_pipeline(
                self.settings,
                days,
                run_id=f"night {self.number}",
                backfill=backfill,
                builds_marts=self.builds_marts,
                **flags,
            )

    def land_only(self, days: tuple[date, date], *, backfill: bool = False) -> None:
        """Land days without loading them, like a run that is killed in between."""
        self.number += 1
        opened = days if backfill else None
        with open_run(
            self.settings, run_id=f"killed {self.number}", full=False, allow_shrink=False, backfill=opened
        ) as run:
            for stream in LOADED_STREAMS:
                extract_stream(run, stream, days)

    def correct_session(self, number: int, ingest: float, viewers: float, at: datetime) -> None:
        """Correct the first livestream's session of the number-th day."""
        self.world.now = at
        session = self.world.apps[APP].livestreams[0].sessions[number]
        self.world.change_session(APP, session.id, ingest_seconds=ingest, viewer_seconds=viewers)

    def query_marts(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Build the marts that a query names, and return its rows."""
        with open_run(self.settings, run_id="marts", full=False, allow_shrink=False, backfill=None) as run:
            named = [mart for mart in find_marts() if mart.full_name in sql]
            refresh_marts(run, [mart for mart in find_marts() if any(mart in (one, *one.builds_on) for one in named)])
            with run.warehouse.open_working() as connection:
                return connection.execute(sql, list(parameters)).fetchall()

    def verdicts(self) -> set[str]:
        """Return the verdicts of all days in marts.reconciliation."""
        return {verdict for (verdict,) in self.query_marts("SELECT DISTINCT verdict FROM marts.reconciliation")}

    def refuse(self, refused: Callable[[LoggedRequest], bool], status: int = 500) -> None:
        """Fail these requests from now on."""
        self.simulator.service.faults = Refusals(refused=refused, status=status)

    def heal(self) -> None:
        """Fail no more requests."""
        self.simulator.service.faults = FaultInjector()

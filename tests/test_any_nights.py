"""Any order of nights, kills, wrong clocks, refusals and forgetful answers leaves the truth."""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.simulator.faults import GROUPS, FaultInjector
from pipelines.simulator.server import Simulator
from tests.fixed_clock import NOW, clock_set_to
from tests.night_runner import APP, LAST, WEEK, NightRunner, add_day, ids, names_livestream, world_of
from tests.normalize_again import assert_nothing_was_skipped_wrongly
from tests.pipeline_runner import assert_matches_world, query

DAY = timedelta(days=1)
CLOCKS = (0 * DAY, 0 * DAY, 3 * DAY, 40 * DAY, -1 * DAY, -2 * DAY)
NIGHTS = 6
SEEDS = range(1, 14)


def correct_a_session(nights: NightRunner, rng: random.Random) -> None:
    app = nights.world.apps[APP]
    session = rng.choice([session for livestream in app.livestreams for session in livestream.sessions])
    figure = rng.choice((1.0, 333.25, 599.5, 5_000.0))
    nights.world.change_session(APP, session.id, ingest_seconds=figure, viewer_seconds=10 * figure)


def spoil(nights: NightRunner, rng: random.Random) -> None:
    """Let some of tonight's answers be wrong, or none."""
    kind = rng.choice(("nothing", "forgetting", "a livestream", "overall", "daywise"))
    operations = {"overall": "get-overall-analytics", "daywise": "get-daywise-analytics"}
    nights.heal()
    if kind == "forgetting":
        nights.simulator.service.faults = FaultInjector(
            seed=rng.getrandbits(20), rate=0.4, kinds=tuple(GROUPS["forgetting"])
        )
    elif kind == "a livestream":
        nights.refuse(names_livestream(rng.choice(ids(nights.world))), rng.choice((400, 500)))
    elif kind in operations:
        nights.refuse(lambda request: request.operation == operations[kind] and rng.random() < 0.5, 400)


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_any_order_of_nights_kills_clocks_and_gaps_leaves_the_truth(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    with Simulator(world_of(4)) as simulator:
        nights = NightRunner(simulator, tmp_path / "home")
        nights.load(WEEK)
        last, at = LAST, NOW
        for _ in range(NIGHTS):
            last, at = last + DAY, at + DAY
            nights.world.now = at
            add_day(nights.world, last)
            for _ in range(rng.randrange(3)):
                correct_a_session(nights, rng)
            spoil(nights, rng)
            days, clock = (last - 2 * DAY, last), rng.choice(CLOCKS)
            if rng.random() < 0.3:
                with clock_set_to(at + clock):
                    nights.land_only(days)
            else:
                run = nights.load(days, at=at, clock=clock)
                if all(failure.part for failure in run.failures):  # else a table was not loaded, which the run reports
                    with clock_set_to(at + clock):
                        assert_nothing_was_skipped_wrongly(nights.settings, f"night {nights.number}", days)
        nights.heal()
        nights.load((WEEK[0], last), at=at + timedelta(hours=1))
        nights.load((WEEK[0], last), at=at + timedelta(hours=2))
        assert_matches_world(nights.settings, nights.world, (WEEK[0], last))
        assert query(nights.settings, "SELECT DISTINCT verdict FROM marts.reconciliation") == [("match",)]

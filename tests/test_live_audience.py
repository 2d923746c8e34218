"""marts.live_audience built from merged observations: gaps, resets, midnight, age."""

import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipelines.live.observations import MAX_GAP, PLACEHOLDER_SECONDS
from pipelines.marts.macros import find_macros
from tests.merged_warehouse import DAY, NOON, MergedWarehouse, Observation, steady
from tests.parameters import long_except


@pytest.fixture
def run() -> Iterator[MergedWarehouse]:
    made = MergedWarehouse()
    yield made
    made.connection.close()


def test_the_mart_has_the_limits_of_the_live_package() -> None:
    assert find_macros()["is_gap"].endswith(f"AS elapsed > INTERVAL {MAX_GAP // timedelta(minutes=1)} MINUTE;")
    sql = (Path(__file__).parents[1] / "sql" / "marts" / "live_audience.sql").read_text()
    assert f"ingest_seconds = {PLACEHOLDER_SECONDS} AND viewer_seconds = {PLACEHOLDER_SECONDS}" in sql


def test_a_minute_is_the_viewing_between_two_polls(run: MergedWarehouse) -> None:
    run.merge((0, 3600, 1000), (60, 3660, 1600), (120, 3720, 3400))
    assert run.audience() == [(0, 1, 60, 10), (60, 1, 60, 30)]


def test_a_span_is_cut_at_full_minutes(run: MergedWarehouse) -> None:
    run.merge((30, 3600, 0), (90, 3660, 600), (210, 3780, 3000))
    assert run.audience() == [(0, 1, 30, 10), (60, 1, 60, 15), (120, 1, 60, 20), (180, 1, 30, 20)]


def test_a_session_counts_from_its_start(run: MergedWarehouse) -> None:
    run.merge((50, 40, 400), (110, 100, 1000))
    assert run.audience() == [(0, 1, 50, 10), (60, 1, 50, 10)]
    run.merge((0, 3600, 10**6), session="s2", stream="l2")
    assert len(run.audience()) == 2, "of a stream first observed after an hour, nothing is known of that hour"


def test_five_minutes_without_a_poll_are_known_and_six_are_not(run: MergedWarehouse) -> None:
    run.merge((0, 3600, 0), (300, 3900, 3000), (660, 4260, 9000), (720, 4320, 9600))
    assert run.audience() == [*((60 * n, 1, 60, 10) for n in range(5)), (660, 1, 60, 10)]


def test_a_new_session_starts_from_zero(run: MergedWarehouse) -> None:
    run.merge((0, 3600, 9000), (60, 3660, 9600), (80, 3680, 9800))
    run.merge((120, 30, 150), (180, 90, 450), session="s2")
    assert run.audience() == [(0, 1, 60, 10), (60, 1, 50, pytest.approx(7)), (120, 1, 60, 5)]


def test_falling_seconds_give_no_negative_audience(run: MergedWarehouse) -> None:
    # an outdated reply: the average after it covers the time since the reply before it
    run.merge((0, 3600, 1000), (60, 3660, 1600), (120, 3600, 1000), (180, 3780, 2800))
    assert run.audience() == [(0, 1, 60, 10), (60, 1, 60, 10), (120, 1, 60, 10)]
    # the feed of the same session is restarted 30 s before it is observed
    run.merge((0, 3600, 5000), (60, 30, 150), (120, 90, 450), session="s2", stream="l2")
    assert sorted(set(run.audience()) - {(60 * n, 1, 60, 10) for n in range(3)}) == [(0, 1, 30, 5), (60, 1, 60, 5)]


def test_an_observation_without_figures_is_skipped(run: MergedWarehouse) -> None:
    run.merge((0, 3600, 0), (60, 3660, None), (120, 3720, 1200), (180, None, 1800))
    assert run.audience() == [(0, 1, 60, 10), (60, 1, 60, 10), (120, 1, 60, 10)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("knows_start", "every", "viewers"),
    long_except(
        product([True, False], [10, 15, 20, 30], [0.0, 0.2, 1.0, 7.5, 10_000.0]),
        (True, 10, 0.0),
        (False, 15, 0.2),
        (False, 10, 1.0),
        (True, 20, 1.0),
        (False, 30, 7.5),
        (True, 15, 10_000.0),
    ),
)
def test_placeholders_of_the_first_minute_are_not_figures(
    run: MergedWarehouse, viewers: float, every: int, *, knows_start: bool
) -> None:
    # 60 and 60 until the real figures come, 45 s after the start: they start below, and may stay below for long
    observed = [(at, *((60.0, 60.0) if at < 45 else (at, viewers * at))) for at in range(1, 301, every)]
    run.merge(*(row for row in observed if row[0] < 45), began=0 if knows_start else None)
    assert run.audience() == [], "not known yet"
    run.merge(*(row for row in observed if row[0] >= 45), began=0 if knows_start else None)
    rows = run.audience()
    assert [row[3] for row in rows] == pytest.approx([viewers] * len(rows))
    last = observed[-1][0]
    assert sum(row[2] for row in rows) == pytest.approx(last), "counted from the start"
    assert run.total() == pytest.approx(viewers * last)


def test_figures_of_the_first_minute_are_known_once_the_session_is_over(run: MergedWarehouse) -> None:
    run.merge((10, 60, 60), (40, 40, 200), is_over=True, began=0)
    assert run.audience() == [(0, 1, 40, 5)]
    run.merge((10, 60, 60), (30, 60, 60), is_over=True, began=0, session="s2", stream="l2")
    assert len(run.audience()) == 1, "of a session that ended before its figures came, nothing is known"


def test_placeholders_survive_thinning(run: MergedWarehouse) -> None:
    observed = [(at, *((60.0, 60.0) if at < 45 else (at, 3.0 * at))) for at in range(5, 3601, 15)]
    run.merge(*observed, began=0)
    before = run.total()
    assert before == pytest.approx(3.0 * observed[-1][0])
    run.age(DAY)
    assert run.total() == pytest.approx(before)


def test_60_seconds_long_after_the_start_are_not_a_placeholder(run: MergedWarehouse) -> None:
    run.merge((3000, 60, 60), (3060, 120, 660), began=0)  # the feed began 49 minutes after the session
    assert run.audience() == [(2940, 1, 60, 1), (3000, 1, 60, 10)]


def test_the_peak_is_of_the_part_of_a_minute_that_was_observed(run: MergedWarehouse) -> None:
    run.hold_sessions(DAY)
    run.merge((0, 3600, 0), (15, 3615, 1500))
    assert run.peaks() == [(100.0, NOON)]
    run.merge((5, 3600, 0), (20, 3615, 750), session="s2", stream="l2")
    assert run.peaks() == [(pytest.approx(2250 / 20), NOON)]


@pytest.mark.parametrize("viewers", [(10, 200), (200, 10)])
def test_thinning_to_hours_keeps_the_viewing_of_each_hour(run: MergedWarehouse, viewers: tuple[int, int]) -> None:
    observed: list[Observation] = []
    watched = 0.0
    for at in range(17, 3 * 3600, 60):  # no poll at a full hour; the audience changes there
        watched += viewers[at // 3600 % 2] * 60
        observed.append((at, 3600 + at, watched))
    run.merge(*observed)

    def hours() -> list[tuple[Any, ...]]:
        run.audience()
        return run.query(
            "SELECT date_trunc('hour', minute) AS hour, round(sum(viewer_seconds), 6) FROM marts.live_audience GROUP BY hour ORDER BY hour"
        )

    before = hours()
    run.age(DAY)
    assert hours() == before


def test_audience_at_midnight_belongs_to_both_days(run: MergedWarehouse) -> None:
    midnight = 12 * 3600
    run.merge((midnight - 90, 100, 1000), (midnight - 30, 160, 1600))
    assert run.audience()[-1] == (midnight - 60, 1, 30, 10)
    run.merge((midnight + 30, 220, 2200), (midnight + 90, 280, 2800))
    assert run.audience()[-3:] == [(midnight - 60, 1, 60, 10), (midnight, 1, 60, 10), (midnight + 60, 1, 30, 10)]
    assert run.total() == pytest.approx(2800)


@pytest.mark.long
def test_the_peak_of_a_day_is_of_all_streams_together_with_its_time(run: MergedWarehouse) -> None:
    run.hold_sessions(DAY)
    run.hold_sessions(DAY + timedelta(days=1))
    assert run.peaks() == [(None, None), (None, None)], "nothing was polled"
    run.merge((0, 3600, 0), (60, 3660, 600), (120, 3720, 1800), (180, 3780, 3000))
    run.merge((60, 3600, 0), (120, 3660, 1200), session="s2", stream="l2")
    assert run.peaks() == [(40.0, NOON + timedelta(minutes=1)), (None, None)]
    run.merge((240, 3840, 6600))  # counts, although the sessions of the day were loaded before
    assert run.peaks()[0] == (60.0, NOON + timedelta(minutes=3))


@pytest.mark.long
def test_the_peak_of_a_day_known_by_the_hour_is_the_average_of_an_hour(run: MergedWarehouse) -> None:
    run.hold_sessions(DAY)
    run.merge(*steady(60, 3600, 10), (3660, 3660, 36600))
    run.merge(*steady(600, 720, 30, began=570), session="s2", stream="l2")  # two minutes and a half of 30
    assert run.peaks()[0][0] == 40.0
    run.age(DAY)
    assert run.peaks() == [(pytest.approx(10 + 30 * 150 / 3600), NOON)]


@pytest.mark.long
@pytest.mark.parametrize("seed", long_except(range(4), 0, 1))
def test_an_incremental_refresh_equals_a_full_build(run: MergedWarehouse, seed: int) -> None:
    dice = random.Random(seed)
    at = {f"l{n}": 0 for n in range(3)}
    fed = dict.fromkeys(at, 0.0)
    watched = dict.fromkeys(at, 0.0)
    number = 0
    for _ in range(8):
        for stream in ("l0", "l1", "l2"):
            observed: list[Observation] = []
            for _ in range(dice.randint(0, 40)):
                passed = dice.choice([15, 60, 60, 60, 299, 301, 7200, 30000])
                at[stream] += passed
                if dice.random() < 0.1:
                    number, fed[stream], watched[stream] = number + 1, dice.uniform(0, passed), 0
                else:
                    fed[stream] += passed
                watched[stream] += dice.uniform(0, 100) * passed
                stale = watched[stream] / 2 if dice.random() < 0.05 else watched[stream]
                observed.append((at[stream], fed[stream], stale))
            if observed:
                run.merge(*observed, session=f"{stream}/{number}", stream=stream)
        if dice.random() < 0.5:
            run.audience()
        if dice.random() < 0.4:
            [(day,)] = run.query("SELECT min(day) FROM core.live_observations")
            run.age(day + timedelta(days=dice.randint(0, 1)))
    refreshed = run.audience()
    assert min(row[3] for row in refreshed) >= 0
    run.connection.execute("DELETE FROM ops.mart_builds")
    assert run.audience() == refreshed

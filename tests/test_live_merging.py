"""Observations merged and thinned: stored once, and totals, gaps and restarts survive."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from pipelines.live import merge
from tests.merged_warehouse import DAY, NOON, MergedWarehouse, steady


@pytest.fixture
def run() -> Iterator[MergedWarehouse]:
    made = MergedWarehouse()
    yield made
    made.connection.close()


def test_a_row_merged_twice_is_stored_once(run: MergedWarehouse) -> None:
    observed = steady(0, 600, 10, every=20)
    assert run.merge(*observed) == 31
    kept = run.query("FROM core.live_observations ORDER BY ALL")
    run.merge(*observed)
    assert run.query("FROM core.live_observations ORDER BY ALL") == kept
    assert len(kept) == 12, "the first, and the last of each minute"


def test_ops_days_counts_the_stored_rows(run: MergedWarehouse) -> None:
    run.merge(*steady(0, 600, 10, every=20))
    run.age(DAY)
    counted = run.query("SELECT day, count(*) FROM core.live_observations GROUP BY day")
    assert run.query("SELECT day, row_count FROM ops.days") == counted


@pytest.mark.long
def test_thinning_keeps_the_totals_of_hours(run: MergedWarehouse) -> None:
    run.merge(*steady(60, 3 * 3600 + 600, 10))  # from its start on
    run.merge(*steady(1800, 5400, 7, began=1790), session="s2", stream="l2")
    before, rows = run.total(), run.query("SELECT count(*) FROM core.live_observations")[0][0]
    run.age(DAY)
    kept = run.query("FROM core.live_observations ORDER BY ALL")
    assert len(kept) < rows / 20
    assert run.total() == pytest.approx(before)
    assert {row[1] for row in run.audience()} == {60.0}
    run.age(DAY)
    assert run.query("FROM core.live_observations ORDER BY ALL") == kept, "thinned twice is thinned once"


@pytest.mark.long
def test_gaps_restarts_and_resets_survive_thinning(run: MergedWarehouse) -> None:
    run.merge(*steady(60, 1200, 10), *steady(2400, 4200, 10))  # no polls for twenty minutes
    run.merge(
        *steady(60, 1200, 10), *steady(1260, 3000, 10, began=1230), session="s2", stream="l2"
    )  # the feed restarted
    known = 1200 * 10 + 1800 * 10 + 1200 * 10 + 1770 * 10
    assert run.total() == pytest.approx(known)
    run.age(DAY)
    assert run.total() == pytest.approx(known)
    assert len(run.query("FROM core.live_observations")) < 20


def test_only_old_days_that_are_not_thinned_yet_are_thinned(run: MergedWarehouse) -> None:
    days = [DAY + timedelta(days=n) for n in range(4)]
    for n in range(4):
        run.merge((86400 * n, 100, 100))

    def to_thin(app_id: str) -> list[date]:
        now = NOON + timedelta(days=4)
        return merge.find_days_to_thin(run.connection, app_id, observation_days=2, now=now)

    assert to_thin("a") == days[:2]
    run.now = NOON + timedelta(days=4)
    run.age(days[0])
    assert to_thin("a") == days[1:2], "a run that is killed between two days leaves the second one to the next run"
    run.age(days[1])
    assert to_thin("a") == to_thin("b") == []

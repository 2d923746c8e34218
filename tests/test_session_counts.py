"""Sessions counted by *livestreams/daywise*: compared where the API offers it, unknown where it does not."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.storage.warehouse import open_warehouse
from tests.intercepting_proxy import (
    Rule,
    intercept,
    refusal,
    refuse_path,
)
from tests.parameters import long_except
from tests.pipeline_runner import LAST, assert_matches_world, query, run_without_marts, small_world
from tests.test_dialects import DAY, WEEK, dialect_of, settings_at, simulate_both_forms


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulate_both_forms() as served:
        yield served


def counts_of(settings: Settings) -> dict[date, int | None]:
    return dict(query(settings, "SELECT day, session_count FROM core.livestream_analytics_daily ORDER BY day"))


def with_data(entries: list[dict[str, Any]]) -> Rule:
    """Answer *livestreams/daywise* with these."""
    return lambda path, _: (200, {"success": True, "data": entries}) if path.endswith("livestreams/daywise") else None


@pytest.mark.long
def test_sessions_are_counted_where_the_api_counts_them(simulator: Simulator, tmp_path: Path) -> None:
    with intercept(simulator) as served:
        settings = settings_at(served, tmp_path / "home")
        run_without_marts(settings, WEEK)
        truth = simulator.world.expected_rows("aula", *WEEK).session_counts
        assert counts_of(settings) == {day: sessions for (_, day), sessions in truth.items()}
        sent = [target for target in served.targets if "livestreams/daywise" in target]
        assert len(sent) == 1, "one request for a range"


@pytest.mark.long
@pytest.mark.parametrize("status", long_except([404, 405, 410, 501], 404))
def test_a_missing_operation_is_requested_again_after_a_week(status: int, simulator: Simulator, tmp_path: Path) -> None:
    with intercept(simulator, refuse_path("/analytics/livestreams/daywise", status, "Route not found")) as served:
        settings = settings_at(served, tmp_path / "home")
        run = run_without_marts(settings, (LAST - timedelta(days=34), LAST))
        assert run.failures == []
        assert len(served.refused) == 1, "not once for each month"
        assert set(counts_of(settings).values()) == {None}
        assert_matches_world(settings, simulator.world, WEEK)
        served.rules.clear()
        run_without_marts(settings, DAY, run_id="the next night")
        assert set(counts_of(settings).values()) == {None}
        with open_warehouse(settings).open_working() as connection:
            connection.execute("UPDATE ops.api_dialect SET noted_at = noted_at - INTERVAL 7 DAY WHERE value = 'no'")
        run_without_marts(settings, DAY, run_id="a week later")
        assert counts_of(settings)[LAST] == simulator.world.expected_rows("aula", *DAY).session_counts["aula", LAST]
        assert dialect_of(settings)["get-livestream-daywise-analytics", "offered"] == "yes"


@pytest.mark.long
@pytest.mark.parametrize(
    ("entries", "counted"),
    [
        pytest.param([], 0, marks=pytest.mark.long),
        pytest.param(
            [{"count": 0, "date": None, "total_ingest_seconds": 0, "total_viewer_seconds": 0}],
            0,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": 0, "date": None, "total_ingest_seconds": None, "total_viewer_seconds": None}],
            0,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": 4, "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": "4", "date": f"{LAST}T00:00:00.000Z", "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        pytest.param(
            2 * [{"count": 4, "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": 4, "date": None, "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        ([{"count": "x", "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1}], None),
    ],
)
def test_forms_of_a_session_count(
    entries: list[dict[str, Any]], counted: int | None, simulator: Simulator, tmp_path: Path
) -> None:
    with intercept(simulator, with_data(entries)) as served:
        settings = settings_at(served, tmp_path / "home")
        assert run_without_marts(settings, DAY).failures == []
        assert counts_of(settings) == {LAST: counted}
        aside = query(settings, "SELECT field, record_id FROM ops.quarantine WHERE ends_with(record_id, 'daywise')")
        assert aside == ([] if counted is not None else [("count", f"{LAST} livestreams/daywise")])
        unbalanced = "rows_received <> rows_landed + rows_quarantined + rows_duplicate"
        assert query(settings, f"FROM ops.loads WHERE {unbalanced}") == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (with_data([{"count": n, "date": f"{LAST}", "total_ingest_seconds": n} for n in (1, 2)]), "different figures"),
        pytest.param(
            with_data([{"count": 1, "date": "2020-01-01", "total_ingest_seconds": 1}]),
            "with other days only",
            marks=pytest.mark.long,
        ),
        pytest.param(with_data([{"other": 1}]), "without any of its figures", marks=pytest.mark.long),
        (lambda path, _: refusal(500, "internal") if path.endswith("livestreams/daywise") else None, "500"),
        pytest.param(
            lambda path, _: refusal(403, "not for you") if path.endswith("livestreams/daywise") else None,
            "not for you",
            marks=pytest.mark.long,
        ),
    ],
)
def test_session_counts_that_fail_are_unknown_and_affect_nothing_else(
    rule: Rule, message: str, simulator: Simulator, tmp_path: Path
) -> None:
    with intercept(simulator, rule) as served:
        settings = settings_at(served, tmp_path / "home")
        assert run_without_marts(settings, DAY).failures == []
        assert counts_of(settings) == {LAST: None}
        [(note,)] = query(settings, "SELECT note FROM ops.loads WHERE table_name = 'raw.livestream_analytics_daywise'")
        assert message in note
        assert_matches_world(settings, simulator.world, DAY)


@pytest.mark.long
def test_an_entry_without_a_day_leaves_the_other_days_unknown(simulator: Simulator, tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [
        {"count": 4, "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1},
        {"count": 2, "date": None, "total_ingest_seconds": 5, "total_viewer_seconds": 1},
    ]
    with intercept(simulator, with_data(entries)) as served:
        settings = settings_at(served, tmp_path / "home")
        run_without_marts(settings, (LAST - timedelta(days=1), LAST))
        assert counts_of(settings) == {LAST - timedelta(days=1): None, LAST: 4}
        aside = query(settings, "SELECT day, field FROM ops.quarantine WHERE ends_with(record_id, 'daywise')")
        assert aside == [(None, "day")]


@pytest.mark.long
def test_a_session_without_figures_is_found_by_count_though_updated_at_did_not_move(tmp_path: Path) -> None:
    # Once a documented limitation.
    world = small_world(apps=("aula",), livestreams=3, sessions=12)
    with Simulator(world) as simulated, intercept(simulated) as served:
        settings = settings_at(served, tmp_path / "home", LIVEHOUSE_AUDIT_LIVESTREAMS="0")
        run_without_marts(settings, WEEK, run_id="before")
        quiet = next(one for one in world.apps["aula"].livestreams if one.sessions and one.open_session is None)
        updated_ms = quiet.updated_ms
        world.add_session(
            "aula",
            quiet.id,
            created_at=datetime(LAST.year, LAST.month, LAST.day, 1, tzinfo=UTC),
            ingest_seconds=0,
            viewer_seconds=0,
        )
        quiet.updated_ms = updated_ms
        run_without_marts(settings, DAY, run_id="night")
        assert_matches_world(settings, world, WEEK)
        served.targets.clear()
        run_without_marts(settings, DAY, run_id="night after")
        assert not [target for target in served.targets if f"/livestreams/{quiet.id}" in target]

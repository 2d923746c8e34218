"""A table whose columns or rules changed with an update is rebuilt from raw by the next run, and says so."""

from pathlib import Path

import duckdb
import pytest

from pipelines.catalog.streams import FACTS
from pipelines.normalize import fingerprint
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.night_runner import Refusals
from tests.parameters import long_except
from tests.pipeline_runner import (
    DAYS,
    LAST,
    assert_matches_world,
    query,
    run_pipeline,
    run_without_marts,
    settings_for,
    small_world,
)

YESTERDAY = (LAST, LAST)


def notes(settings: Settings, run_id: str) -> list[str]:
    return [
        note
        for (note,) in query(settings, "SELECT note FROM ops.loads WHERE run_id = ? AND note LIKE 'columns%'", run_id)
    ]


@pytest.mark.long
@pytest.mark.file_only
@pytest.mark.parametrize(
    "change",
    long_except(
        ["column added by an update", "rules changed", "home of before fingerprints"], "column added by an update"
    ),
)
def test_every_loaded_day_is_rebuilt_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    world = small_world(apps=("aula",), livestreams=5, sessions=60)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run_without_marts(settings)
        run_without_marts(settings, YESTERDAY, run_id="second")  # asks once more for days that the API counts more of
        run_without_marts(settings, YESTERDAY, run_id="nothing new")
        assert notes(settings, "nothing new") == []
        with duckdb.connect(tmp_path / "home" / "pipeline.duckdb") as connection:
            connection.execute("UPDATE core.livestream_sessions SET updated_at = NULL, viewer_seconds = NULL")
            if change == "column added by an update":  # the table without it had another fingerprint
                connection.execute("UPDATE ops.fingerprints SET fingerprint = 'of other columns'")
            elif change == "home of before fingerprints":
                connection.execute("DROP TABLE ops.fingerprints")
        if change == "rules changed":
            monkeypatch.setattr(fingerprint, "RULES_VERSION", fingerprint.RULES_VERSION + 1)
        run_without_marts(settings, YESTERDAY, run_id="updated")
        assert_matches_world(settings, world)
        days = (DAYS[1] - DAYS[0]).days + 1
        assert f"columns or rules changed: core.livestream_sessions was rebuilt from raw, {days} days" in notes(
            settings, "updated"
        )
        assert len(notes(settings, "updated")) == len(FACTS)
        run_without_marts(settings, YESTERDAY, run_id="the night after")
        assert notes(settings, "the night after") == []
        requests = query(
            settings,
            "SELECT sum(api_requests) FROM ops.loads WHERE run_id IN ('nothing new', 'updated') GROUP BY run_id",
        )
        assert requests[0] == requests[1], "what was landed is enough"


@pytest.mark.long
@pytest.mark.file_only
@pytest.mark.parametrize("other", ["retired", "refused"])
def test_days_of_an_app_that_is_not_fetched_are_rebuilt_too(other: str, tmp_path: Path) -> None:
    """The marts are built of every app: columns that an update added must not be NULL in some of them."""
    world = small_world(livestreams=5, sessions=60)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run_pipeline(settings)
        failed = "SELECT app_id, day, failed_sessions FROM marts.daily_usage ORDER BY ALL"
        before = query(settings, failed)
        assert any(count for _, _, count in before)
        with duckdb.connect(tmp_path / "home" / "pipeline.duckdb") as connection:  # as an update finds it
            connection.execute("UPDATE core.livestream_sessions SET is_failed = NULL, ended_at = NULL")
            connection.execute("DROP TABLE ops.fingerprints")
            connection.execute("DELETE FROM ops.mart_builds")
        if other == "refused":
            simulator.service.faults = Refusals(refused=lambda request: request.app_id == "stage", status=403)
            now = settings
        else:
            now = settings_for(simulator, tmp_path / "home", REALTIMEKIT_APP_ID="aula")
        run_pipeline(now, YESTERDAY, run_id="updated")
        assert query(settings, failed) == before
        assert_matches_world(settings, world)
        assert query(settings, "SELECT count(*) FROM ops.fingerprints WHERE app_id = 'stage'") == [(len(FACTS),)]

"""The flow from HTTP replies to published tables, in every shape of the API, against the simulator's truth."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from pipelines.catalog.raw import RAW_LIVESTREAMS
from pipelines.clock import utc_now
from pipelines.errors import WarehouseError
from pipelines.load.raw_versions import land
from pipelines.normalize.raw_frames import field_types, raw_livestreams
from pipelines.normalize.record import read_record
from pipelines.settings.settings import Settings
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.server import Simulator
from pipelines.steps import landing, sessions
from pipelines.steps.context import open_run
from pipelines.steps.load_core import load_livestreams
from pipelines.storage.warehouse import open_warehouse
from tests.pipeline_runner import (
    DAYS,
    LAST,
    LoadedWarehouse,
    assert_matches_world,
    environment_for,
    query,
    run_without_marts,
    settings_for,
    small_world,
)

WHOLE = (LAST - timedelta(days=39), LAST)
CHOICES = {field.name: get_args(field.type) for field in fields(ResponseShapes)}
MIXTURES = [
    ResponseShapes(**{name: choices[number % len(choices)] for name, choices in CHOICES.items()})
    for number in range(max(map(len, CHOICES.values())))
]
"""The shape captured, and as few others as take every choice once."""
VALUES = ("mixed", "numbers", "text")


@pytest.mark.long
@pytest.mark.parametrize(
    ("shapes", "values"),
    [
        *[
            pytest.param(
                shapes, VALUES[number % 3], id=f"mixture {number}", marks=() if number in {1, 3} else pytest.mark.long
            )
            for number, shapes in enumerate(MIXTURES)
        ],
        *[
            pytest.param(shapes, "mixed", id=str(shapes), marks=pytest.mark.long)
            for shapes in ResponseShapes.all_variants()
        ],
    ],
)
def test_every_shape_and_style_of_value_gives_the_truth(shapes: ResponseShapes, values: str, tmp_path: Path) -> None:
    world = small_world(apps=("aula",), livestreams=12, sessions=60, values=values)
    with Simulator(world, shapes=shapes) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings)
        assert_matches_world(settings, world)


@pytest.mark.long  # a double of promises/test_completeness.py, whose runs end with the truth of pages of three
def test_small_pages_give_the_truth(tmp_path: Path) -> None:
    world = small_world(apps=("aula",))
    with Simulator(world, per_page_cap=7) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings)
        assert_matches_world(settings, world)


@pytest.mark.long
def test_a_livestream_of_many_batches_is_known_once_all_of_it_is_landed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = small_world(apps=("aula",), livestreams=1, sessions=60, broken=False)
    landed: list[int] = []

    def stops_at_the_third(*given: Any) -> None:
        if len(landed) == 2:
            raise WarehouseError("stopped between two batches of a livestream")
        landing.land(*given)
        landed.append(len(given[3]))

    def held(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
        with open_warehouse(settings).open_raw() as connection:
            return connection.execute(sql).fetchall()

    monkeypatch.setattr(sessions, "BATCH", 5)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        with monkeypatch.context() as patch, pytest.raises(WarehouseError, match="stopped between"):
            patch.setattr(sessions, "land", stops_at_the_third)
            run_without_marts(settings, WHOLE)
        assert landed == [5, 5]
        assert held(settings, "SELECT count(*) FROM raw.livestream_sessions") == [(10,)]
        assert held(settings, "FROM ops.livestream_sync") == [], "not known by a part of it"
        run_without_marts(settings, WHOLE)
        assert_matches_world(settings, world, WHOLE)
        assert held(settings, "SELECT count(*) FROM ops.livestream_sync WHERE complete") == [(1,)]


@pytest.mark.promise(2)
def test_promise_2_nothing_is_counted_or_fetched_twice(loaded: LoadedWarehouse) -> None:
    simulator, settings = loaded
    assert_matches_world(settings, simulator.world)
    run_without_marts(settings, run_id="second")  # asks once more for days of which the API counts more than it lists
    assert_matches_world(settings, simulator.world)
    before = len(simulator.requests)
    run_without_marts(settings, run_id="third")
    assert_matches_world(settings, simulator.world)
    assert_fetched_only_what_may_change(simulator, before)
    run_without_marts(settings, run_id="fourth", full=True)
    assert_matches_world(settings, simulator.world)
    assert query(settings, "SELECT count(DISTINCT run_id) FROM ops.loads") == [(4,)]


def assert_fetched_only_what_may_change(simulator: Simulator, before: int) -> None:
    """On a night with nothing new."""
    requests = [request.operation for request in simulator.requests[before:]]
    days = (DAYS[1] - DAYS[0]).days + 1
    assert requests.count("list-livestreams") == len(simulator.world.apps)
    assert requests.count("get-overall-analytics") == days * len(simulator.world.apps)
    assert requests.count("get-daywise-analytics") == len(simulator.world.apps)
    may_have_changed = [
        livestream
        for app in simulator.world.apps.values()
        for livestream in app.livestreams
        if livestream.status in ("LIVE", "INVOKED")
        or livestream.open_session
        or livestream.updated_ms > simulator.world.now_ms - 300_000
    ]
    assert requests.count("get-livestream") <= len(may_have_changed)


@pytest.mark.long
def test_overall_reveals_changes_that_updated_at_does_not_show(tmp_path: Path) -> None:
    world = small_world(apps=("aula",), stale_clocks=True)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path)
        run_without_marts(settings)
        assert_matches_world(settings, world)
        notes = query(settings, "SELECT note FROM ops.loads WHERE table_name = 'raw.livestream_sessions'")
        assert any("(overall) were higher" in (note or "") for (note,) in notes)


def test_no_stream_key_and_no_token_in_any_file(loaded: LoadedWarehouse, tmp_path: Path) -> None:
    simulator, _ = loaded
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    secrets = {simulator.token, *simulator.world.stream_keys()}
    assert not [secret for secret in secrets if secret.encode() in written]


@pytest.mark.long
def test_the_last_valid_version_of_a_livestream_stays_current_however_many_broken_ones_follow(tmp_path: Path) -> None:
    settings = Settings(REALTIMEKIT_APP_ID="aula", LIVEHOUSE_HOME=tmp_path)  # type: ignore[call-arg]  # read by alias
    broken = ({"name": "third", "disabled": ["maybe", n]} for n in range(4))
    nights: list[dict[str, Any]] = [{"name": "first"}, {"name": "second"}, *broken]
    began = utc_now() - timedelta(days=len(nights))
    for number, values in enumerate(nights):
        at = began + timedelta(days=number)
        record = read_record({"id": "a", "updated_at": f"{at}", **values})
        frame = raw_livestreams([record], app_id="aula", fetched_at=at, run_id=f"{number}")
        types = field_types(RAW_LIVESTREAMS, [record], at)
        with open_run(settings, run_id=f"{number}", full=False, allow_shrink=False, backfill=None) as run:
            run.warehouse.write_raw(partial(land, table=RAW_LIVESTREAMS, batch=frame, types=types))
            load_livestreams(run)
            with run.warehouse.open_working() as connection:
                current = connection.execute("SELECT name, first_seen_at, last_seen_at FROM core.livestreams")
                assert current.fetchall() == [("second" if number else "first", began, at)]
            with run.warehouse.open_raw() as connection:
                held = connection.execute("SELECT payload FROM raw.livestreams ORDER BY fetched_at").fetchall()
            assert len(held) <= 3, "the first version, the current one, and the newest"
    assert json.loads(held[-1][0])["disabled"] == ["maybe", 3]


LOAD_DAYS = """
import duckdb
from pipelines.settings.settings import load_settings
from tests.pipeline_runner import run_without_marts
print(duckdb.sql("SELECT current_setting('TimeZone')").fetchone()[0])
run_without_marts(load_settings())
"""


@pytest.mark.long
@pytest.mark.parametrize("zone", ["America/Los_Angeles", pytest.param("Pacific/Apia", marks=pytest.mark.long)])
def test_days_and_timestamps_are_utc_in_any_time_zone(zone: str, tmp_path: Path) -> None:
    with Simulator(small_world(apps=("aula",), livestreams=6, sessions=40)) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        path = f"{Path(__file__).parents[1]}:{os.environ['PYTHONPATH']}"
        environment = os.environ | environment_for(simulator, settings.home) | {"TZ": zone, "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", LOAD_DAYS], env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(zone), "DuckDB has this time zone by default"
        assert_matches_world(settings, simulator.world)
        [(started_at,)] = query(settings, "SELECT max(started_at) FROM ops.loads")
        assert abs(started_at - utc_now()) < timedelta(hours=1)

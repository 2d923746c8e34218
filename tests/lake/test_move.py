"""From a file to a lakehouse and back: whole, compared, and what was cut off goes on."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import UsageError, WarehouseError
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps.move import move
from pipelines.storage import move as moving
from pipelines.storage.warehouse import open_warehouse
from tests.pipeline_runner import DAYS, assert_matches_world, query, run_pipeline, settings_for
from tests.postgres import Postgres
from tests.promises.fault_runner import run_cli
from tests.promises.world_factory import change_everything, tiny_world


def held(settings: Settings) -> dict[str, Any]:
    """Return the contents of each table per app and day, raw tables included."""
    store = open_warehouse(settings)
    return {
        table.full_name: moving.read_digests(store, table, is_raw=is_raw)
        for table, is_raw in moving.list_moved_tables()
    }


@pytest.mark.long
@pytest.mark.timeout(900)  # four loads and two moves of a lakehouse: 300 s were not enough on a busy machine
def test_a_warehouse_moves_to_a_lakehouse_and_back_and_lives_on(lake: str, tmp_path: Path) -> None:
    world = tiny_world()
    with Simulator(world) as simulator:
        file = settings_for(simulator, tmp_path / "file")
        lakehouse = settings_for(simulator, tmp_path / "lake", LIVEHOUSE_WAREHOUSE=lake)
        back = settings_for(simulator, tmp_path / "back")
        run_pipeline(file)
        carried = move(file, lakehouse)
        assert carried["core.livestream_sessions"] > 0
        assert carried["raw.livestream_sessions"] > 0
        assert held(lakehouse) == held(file)
        assert_matches_world(lakehouse, world)
        assert sum(move(file, lakehouse).values()) == 0, "what is there is compared, not carried again"
        change_everything(world)
        run_pipeline(lakehouse, run_id="on the lake")
        assert_matches_world(lakehouse, world)
        move(lakehouse, back)
        assert held(back) == held(lakehouse)
        assert_matches_world(back, world)
        run_pipeline(back, run_id="back")
        assert_matches_world(back, world)
        marts = "SELECT * EXCLUDE (loaded_at) FROM marts.daily_usage ORDER BY ALL"
        assert query(back, marts) == query(lakehouse, marts)


@pytest.mark.long
def test_a_move_that_was_cut_off_goes_on(lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "MAX_ROWS_PER_TRANSACTION", 20)
    insert = moving.insert_rows
    left = iter(range(12))

    def die(*given: Any, **named: Any) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt
        insert(*given, **named)

    with Simulator(tiny_world()) as simulator:
        file = settings_for(simulator, tmp_path / "file")
        lakehouse = settings_for(simulator, tmp_path / "lake", LIVEHOUSE_WAREHOUSE=lake)
        run_pipeline(file, (DAYS[1], DAYS[1]))
        whole = sum(rows for parts in held(file).values() for rows, _ in parts.values())
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(moving, "insert_rows", die)
            move(file, lakehouse)
        already = sum(rows for parts in held(lakehouse).values() for rows, _ in parts.values())
        assert 0 < already < whole
        assert sum(move(file, lakehouse).values()) == whole - already
        assert held(lakehouse) == held(file)


@pytest.mark.parametrize(
    "secret",
    ["host=x user=u password=hush-hush-7", "postgresql://u:hush-hush-7@x/db", "host=x sslpassword=hush-hush-7"],
)
@pytest.mark.parametrize("is_target", [True, False])
def test_a_password_in_an_argument_is_refused(secret: str, tmp_path: Path, *, is_target: bool) -> None:
    """Every user of the machine reads it by `ps`."""
    pytest.importorskip("psycopg", reason="the extra `lakehouse` is not installed")
    arguments = [f"{tmp_path / 'warehouse.duckdb'}", f"ducklake:postgres:{secret}"]
    status, out, err = run_cli({}, "move", *(arguments if is_target else arguments[::-1]))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert ("TARGET" if is_target else "SOURCE") in err
    assert "~/.pgpass" in err
    assert "hush-hush-7" not in err


def test_the_password_comes_from_the_setting_that_names_the_same_place(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = postgres.new_database()
    monkeypatch.setenv("LIVEHOUSE_WAREHOUSE", f"{lake} password=hush-hush-7")
    taken: list[Settings] = []

    def carry(here: Settings, there: Settings) -> dict[str, int]:
        taken.extend((here, there))
        return {}

    monkeypatch.setattr("pipelines.steps.move.move", carry)
    status, _, err = run_cli({}, "move", f"{tmp_path / 'warehouse.duckdb'}", lake)
    assert status == 0, err
    assert taken[1].lakehouse is not None
    assert taken[1].lakehouse.get_secret_value().endswith("password=hush-hush-7")
    assert "hush-hush-7" not in err


@pytest.mark.long
def test_what_is_there_is_never_overwritten(lake: str, tmp_path: Path) -> None:
    row = "INSERT INTO core.recordings_daily (app_id, day, recording_count) VALUES ('a', '2026-01-02', {})"
    here = Settings(LIVEHOUSE_HOME=tmp_path / "here")  # type: ignore[call-arg]  # read by alias
    there = Settings(LIVEHOUSE_HOME=tmp_path / "there", LIVEHOUSE_WAREHOUSE=lake)  # type: ignore[call-arg]  # read by alias
    for settings, count in ((here, 1), (there, 2)):
        store = open_warehouse(settings)
        store.prepare()
        with store.run(wait_seconds=0, log=print):
            with store.open_raw():
                pass
            with store.open_working() as connection:
                connection.execute(row.format(count))
    with pytest.raises(WarehouseError, match="holds nothing"):
        move(here, there)
    open_warehouse(here).publish(print)
    with pytest.raises(WarehouseError, match=r"holds other rows of core\.recordings_daily \(app a day 2026-01-02"):
        move(here, there)
    with pytest.raises(UsageError, match="the same"):
        move(here, here)
    assert query(there, "SELECT recording_count FROM core.recordings_daily") == [(2,)]

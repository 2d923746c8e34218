"""The whole flow on a lakehouse: what users start, and what they then see, is as it is on a file."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.storage.warehouse import open_warehouse
from tests.fixed_clock import NOW
from tests.pipeline_runner import DAYS, FIRST, LAST, assert_matches_world, environment_for, run_pipeline, settings_for
from tests.promises.fault_runner import run_cli, run_cli_process
from tests.promises.world_factory import change_everything, tiny_world

TIMES = (
    *("fetched_at", "overall_fetched_at", "loaded_at", "sessions_loaded_at", "synced_at", "built_at", "run_id"),
    *("first_seen_at", "last_seen_at"),
)


def rows_of(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """Every table that readers see but ops.loads, without when it was loaded."""
    with open_warehouse(settings).open_published() as connection:
        tables = connection.execute(
            "SELECT schema_name || '.' || table_name FROM duckdb_tables() WHERE database_name = current_database()"
            " AND schema_name IN ('core', 'marts', 'ops') AND table_name NOT IN ('loads', 'open_backfills') ORDER BY ALL"
        ).fetchall()
        found = {}
        for (table,) in tables:
            rows = connection.execute(f"SELECT COLUMNS(lambda c: c NOT IN {TIMES}) FROM {table}").fetchall()
            # The last bit of a sum depends on the order in which threads add.
            rounded = [tuple(round(cell, 8) if isinstance(cell, float) else cell for cell in row) for row in rows]
            found[table] = sorted(rounded, key=repr)
        return found


@pytest.mark.long
def test_a_backfill_on_a_lakehouse_is_a_backfill_on_a_file(lake: str, tmp_path: Path) -> None:
    world = tiny_world()
    with Simulator(world) as simulator:
        for home, others in ((tmp_path / "file", {}), (tmp_path / "lake", {"LIVEHOUSE_WAREHOUSE": lake})):
            ran = run_cli_process(simulator, home, "backfill", f"{FIRST}", f"{LAST}", "--json", **others)
            assert ran.returncode == 0, ran.stderr
            assert len(json.loads(ran.stdout)["apps"]) == len(world.apps)
            assert (home / "report.html").exists()
        in_file = settings_for(simulator, tmp_path / "file")
        in_lake = settings_for(simulator, tmp_path / "lake", LIVEHOUSE_WAREHOUSE=lake)
        assert_matches_world(in_lake, world)
        assert rows_of(in_lake) == rows_of(in_file)
        totals_query = "SELECT app_id, sum(viewer_seconds)::BIGINT AS s FROM marts.daily_usage GROUP BY 1 ORDER BY 1"
        outputs = [
            run_cli_process(simulator, settings.home, "sql", totals_query, "--format", "csv", **others).stdout
            for settings, others in ((in_file, {}), (in_lake, {"LIVEHOUSE_WAREHOUSE": lake}))
        ]
        assert outputs[0] == outputs[1] != ""
        assert not list((tmp_path / "lake").glob("*.duckdb"))


@pytest.mark.long
def test_nights_go_on_as_on_a_file(lake: str, tmp_path: Path) -> None:
    world = tiny_world(now=NOW - timedelta(minutes=10), broken=False)
    with Simulator(world) as simulator:
        settings = settings_for(simulator, tmp_path / "home", LIVEHOUSE_WAREHOUSE=lake)
        run_pipeline(settings, DAYS)
        before = rows_of(settings)
        run_pipeline(settings, DAYS, run_id="again")
        assert rows_of(settings) | {"ops.field_types": before["ops.field_types"]} == before, (
            "N runs leave the same rows as one"
        )
        change_everything(world, world.now + timedelta(minutes=10))
        run_pipeline(settings, DAYS, run_id="later")
        assert_matches_world(settings, world)
        fresh = settings_for(simulator, tmp_path / "fresh")
        run_pipeline(fresh, DAYS)
        marts = {table: rows for table, rows in rows_of(fresh).items() if table.startswith("marts.")}
        assert {table: rows for table, rows in rows_of(settings).items() if table in marts} == marts


@pytest.mark.long
def test_the_doctor_and_the_report_know_a_lakehouse(lake: str, tmp_path: Path) -> None:
    with Simulator(tiny_world()) as simulator:
        at = {"LIVEHOUSE_WAREHOUSE": lake}
        settings = settings_for(simulator, tmp_path, **at)
        assert "the first run creates its tables" in run_cli_process(simulator, tmp_path, "doctor", **at).stdout
        run_pipeline(settings, (LAST, LAST))
        examined = run_cli_process(simulator, tmp_path, "doctor", **at)
        assert examined.returncode == 0, examined.stdout
        assert "schema up to date" in examined.stdout
        written = run_cli_process(simulator, tmp_path, "report", **at)
        assert Path(written.stdout.strip()).stat().st_size > 100_000, written.stderr


def test_doctor_reports_a_broken_lakehouse_once(simulator: Simulator, tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="the extra `lakehouse` is not installed")
    environment = environment_for(
        simulator, tmp_path, LIVEHOUSE_WAREHOUSE=f"ducklake:postgres:host={tmp_path} dbname=x"
    )
    status, outputs, _ = run_cli(environment, "doctor")
    assert status == 1
    assert outputs.count("start PostgreSQL") == 1
    assert "no request sent: the request budget is kept in the lakehouse" in outputs
    assert "CLOUDFLARE_BASE_URL" not in outputs
    assert simulator.request_count() == 0

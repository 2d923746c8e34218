"""Every mart and the examples, recomputed in plain Python from the simulator's truth: what is loaded says the same."""

import math
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.marts.examples import find_examples
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.pipeline_runner import (
    DAYS,
    LoadedWarehouse,
    apply_settings,
    open_published,
    run_pipeline,
    settings_for,
    small_world,
)
from tests.report.recompute import GRAINS, MARTS, Facts, Row, on_air_until
from tests.report.recompute_examples import KEYS, RECOMPUTED, ROWS_SHOWN

EXAMPLES = {example.name[3:]: example.fill() for example in find_examples()}


def query(connection: duckdb.DuckDBPyConnection, sql: str, *parameters: Any) -> list[Row]:
    cursor = connection.execute(sql, list(parameters))
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def facts_of(connection: duckdb.DuckDBPyConnection, world: World, days: tuple[date, date]) -> Facts:
    """The figures by the world's own truth; of the warehouse only when it received and loaded what."""
    received = {
        (row["app_id"], row["session_id"]): row["fetched_at"]
        for row in query(connection, "SELECT app_id, session_id, fetched_at FROM core.livestream_sessions")
    }
    totals = {
        (row["app_id"], row["day"]): row
        for row in query(
            connection, "SELECT app_id, day, fetched_at, session_count FROM core.livestream_analytics_daily"
        )
    }
    loaded = {
        (row["table_name"], row["app_id"], row["day"]): (row["is_known"], row["loaded_at"])
        for row in query(connection, "FROM ops.days")
    }
    aside = [(row["table_name"], row["app_id"], row["day"]) for row in query(connection, "FROM ops.quarantine")]
    facts = Facts([], [], {}, {}, {}, loaded, aside, dict.fromkeys(world.apps, ("video", 0.01, 0.002)))
    for app_id in world.apps:
        truth = world.expected_rows(app_id, *days)
        facts.livestreams += truth.livestreams.values()
        facts.sessions += [row | {"fetched_at": received[key]} for key, row in truth.livestream_sessions.items()]
        facts.overall |= {key: totals[key] | row for key, row in truth.livestream_analytics_daily.items()}
        facts.meetings |= truth.meeting_sessions_daily
        facts.recordings |= truth.recordings_daily
    return facts


def same(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, Decimal) and isinstance(theirs, Decimal):
        return abs(ours - theirs) <= Decimal("0.000001")  # seconds are added in another order
    if isinstance(ours, float | int) and isinstance(theirs, float | int) and not isinstance(ours, bool):
        return math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-6)
    return bool(ours == theirs)


def assert_marts_are_recomputed(connection: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    for name, of in MARTS.items():
        rows = query(connection, f"FROM marts.{name}")
        held = {tuple(row[column] for column in GRAINS[name]): row for row in rows}
        wanted = of(facts)
        assert held.keys() == wanted.keys(), name
        for key, row in wanted.items():
            different = {
                column: (value, held[key][column])
                for column, value in row.items()
                if not same(value, held[key][column])
            }
            assert not different, (name, key)


def assert_examples_are_recomputed(connection: duckdb.DuckDBPyConnection, facts: Facts) -> None:
    for name, of in RECOMPUTED.items():
        rows, wanted = query(connection, EXAMPLES[name]), of(facts)
        keys = [column for column in (rows[0] if rows else {}) if column in KEYS]
        held = {tuple(row[key] for key in keys): row for row in rows}
        expected = {tuple(row[key] for key in keys): row for row in wanted}
        assert held.keys() <= expected.keys(), name
        assert len(held) == len(rows) == min(len(expected), ROWS_SHOWN.get(name, len(expected))), name
        for key, row in held.items():
            different = {
                column: (value, row[column]) for column, value in expected[key].items() if not near(value, row[column])
            }
            assert not different, (name, key)


def near(ours: Any, theirs: Any) -> bool:
    """Equal, but for the last digit that an example rounds to."""
    return same(ours, theirs) or (isinstance(theirs, float) and ours is not None and abs(ours - theirs) < 0.051)


def assign_customers(loaded: LoadedWarehouse, directory: Path) -> tuple[LoadedWarehouse, dict[str, Any]]:
    """Publish the account again with customers and allowances in its settings. Returns these as `Facts` has them."""
    [aula, stage] = (app.livestreams for app in loaded.simulator.world.apps.values())
    meeting = next(livestream.meeting_id for livestream in stage if livestream.meeting_id)
    customers = {("livestream", stream.id): "Nord; AG" for stream in aula[:5]} | {("meeting", meeting): "süd"}
    allowances: dict[tuple[str, str, str], tuple[float, float | None]] = {
        ("app", "aula", "viewer_minutes"): (100.0, 0.001),
        ("app", "aula", "recording_minutes"): (5.0, None),
        ("app", "stage", "meeting_minutes"): (0.0, 0.5),
        ("customer", "Nord; AG", "viewer_minutes"): (1e9, 0.001),
        ("customer", "süd", "ingest_minutes"): (2.5, 0.25),
    }
    table = directory / "customers.csv"
    rows = [f"{id_},,{name}" if kind == "livestream" else f",{id_},{name}" for (kind, id_), name in customers.items()]
    table.write_text("\n".join(["livestream_id,meeting_id,customer", *rows]), encoding="utf-8-sig")
    contract = directory / "allowances.toml"
    contract.write_text(
        """[apps.aula]
        viewer_minutes = {included = 100, overage_rate = 0.001}
        recording_minutes = {included = 5.0}
        [apps.stage]
        meeting_minutes = {included = 0, overage_rate = 0.5}
        [customers]
        "Nord; AG" = {viewer_minutes = {included = 1e9, overage_rate = 0.001}}
        "süd".ingest_minutes = {included = 2.5, overage_rate = 0.25}
        """,
        encoding="utf-8",
    )
    named = {"LIVEHOUSE_CUSTOMERS": str(table), "LIVEHOUSE_ALLOWANCES": str(contract)}
    settings = settings_for(loaded.simulator, loaded.settings.home, **named)
    apply_settings(settings)
    return loaded._replace(settings=settings), {"customers": customers, "allowances": allowances}


def test_a_small_account_is_recomputed(loaded: LoadedWarehouse, tmp_path: Path) -> None:
    loaded, terms = assign_customers(loaded, tmp_path)
    with open_published(loaded.settings) as connection:
        facts = replace(facts_of(connection, loaded.simulator.world, DAYS), **terms)
        assert any(on_air_until(row) for row in facts.sessions)
        assert_marts_are_recomputed(connection, facts)
        assert_examples_are_recomputed(connection, facts)


@pytest.mark.long
@pytest.mark.parametrize("rounding", ["none", "down", "up", "nearest"])
def test_larger_accounts_are_recomputed_after_every_night(rounding: str, tmp_path: Path) -> None:
    first, last = DAYS[0] - timedelta(days=25), DAYS[1]
    with Simulator(
        small_world(11, livestreams=60, sessions=900, days=45, rounding=rounding, placeholders=True)
    ) as simulator:
        settings = settings_for(simulator, tmp_path / "home")
        run_pipeline(settings, (first, last - timedelta(days=4)), run_id="first")
        for night in range(4):
            day = last - timedelta(days=3 - night)
            run_pipeline(settings, (day - timedelta(days=2), day), run_id=f"night{night}")
        run_pipeline(settings, (first, last), run_id="all")
        with open_published(settings) as connection:
            facts = facts_of(connection, simulator.world, (first, last))
            judged = query(
                connection, "SELECT DISTINCT verdict FROM marts.reconciliation WHERE sessions_quarantined = 0"
            )
            assert {row["verdict"] for row in judged} <= {"match", "unsettled"}
            assert_marts_are_recomputed(connection, facts)
            assert_examples_are_recomputed(connection, facts)

"""Checks fail on what they are for, and on nothing else."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from shutil import copyfile

import pytest

from pipelines.catalog.streams import FACTS
from pipelines.marts.build import find_marts
from pipelines.marts.checks import find_checks, run_check
from tests.parameters import long_except
from tests.report.conftest import FileWarehouse

CHECKS = {f"{check.table}__{check.rule}": check for check in find_checks()}
RAW = ("raw.livestreams", "raw.livestream_sessions", "raw.livestream_analytics", "raw.app_analytics")
DAY = date(2025, 11, 20)
Offence = Callable[[FileWarehouse], object]


def twice(table: str) -> Offence:
    return lambda run: run.connection.execute(f"INSERT INTO {table} FROM {table} LIMIT 1")


def shrunk(table: str) -> Offence:
    def commit(run: FileWarehouse) -> None:
        run.load(table, DAY, run_id="later")
        run.insert("ops.shrinks", {"app_id": "a", "table_name": table, "day": DAY, "record_id": "x", "run_id": "y"})

    return commit


def gap(table: str) -> Offence:
    return lambda run: run.load(table, date(2026, 1, 1))


def torn(table: str) -> Offence:
    return lambda run: run.connection.execute(f"DELETE FROM {table} WHERE app_id = 'b' AND day = ?", [DAY])


def quarantined(table: str) -> Offence:
    return lambda run: run.insert("ops.quarantine", {"app_id": "a", "table_name": table, "record_id": "x"})


def at(hour: int) -> datetime:
    return datetime(2025, 12, 1) + timedelta(hours=hour)


def loads(run: FileWarehouse, table: str, *received: int) -> None:
    """Add hourly loads of a table, each within its hour."""
    for hour, records in enumerate(received):
        row = {"run_id": f"run{hour}", "table_name": table, "app_id": "a", "rows_received": records}
        run.insert("ops.loads", row | {"rows_landed": records, "rows_quarantined": 0, "rows_duplicate": 0})
        run.connection.execute(
            "UPDATE ops.loads SET started_at = ?, finished_at = ? WHERE run_id = ? AND table_name = ?",
            [at(hour), at(hour + 1), row["run_id"], table],
        )


def seen(run: FileWarehouse, table: str, field: str, json_type: str, records: int, *span: int) -> None:
    """Note a field: in how many records it came, in which hour first, in which last."""
    first, last = span
    run.insert(
        "ops.field_types",
        {
            "table_name": table,
            "field": field,
            "json_type": json_type,
            "records": records,
            "first_seen_at": at(first) + timedelta(minutes=5),
            "last_seen_at": at(last) + timedelta(minutes=5),
        },
    )


def new_field(table: str) -> Offence:
    def commit(run: FileWarehouse) -> None:
        loads(run, table, 100, 100)
        seen(run, table, "id", "string", 200, 0, 1)
        seen(run, table, "surprise", "object", 1, 1, 1)

    return commit


def unbalanced(run: FileWarehouse) -> None:
    loads(run, "core.livestreams", 10)
    run.connection.execute("UPDATE ops.loads SET rows_landed = 9")


def open_twice(run: FileWarehouse) -> None:
    for number in (1, 2):
        run.insert("ops.incidents", {"incident_id": f"{number}", "rule": "error_rate", "app_id": "a"})


def twice_in_mart(mart: str, *, is_null: bool = False) -> Offence:
    def commit(run: FileWarehouse) -> None:
        run.build(mart)
        if is_null:
            key = run.marts[mart].grain[0]
            run.connection.execute(f"UPDATE marts.{mart} SET {key} = NULL WHERE rowid = 0")
        else:
            run.connection.execute(f"INSERT INTO marts.{mart} FROM marts.{mart} LIMIT 1")

    return commit


def twice_in_audience(run: FileWarehouse) -> None:
    run.build("live_audience")
    for _ in range(2):
        run.connection.execute("INSERT INTO marts.live_audience BY NAME SELECT 'a' AS app_id, DATE '2026-01-01' AS day")


def unreconciled(run: FileWarehouse) -> None:
    run.load("core.livestream_analytics_daily", DAY, {"ingest_seconds": 1e9, "viewer_seconds": 1e9})
    run.build("reconciliation")


def count_customer_twice(run: FileWarehouse) -> None:
    run.build("monthly_cost")
    run.connection.execute("INSERT INTO marts.monthly_cost SELECT * REPLACE ('x' AS customer) FROM marts.monthly_cost")


def list_shrunk(run: FileWarehouse) -> None:
    loads(run, "core.livestreams", 10)
    missing = {"app_id": "a", "table_name": "core.livestreams", "record_id": "x", "run_id": "run0"}
    run.insert("ops.shrinks", missing)


OFFENCES: dict[str, Offence] = {
    "core.livestreams__never_shrinks": list_shrunk,
    "core.livestreams__unique_key": twice("core.livestreams"),
    "core.livestreams__quarantine_empty": quarantined("core.livestreams"),
    "marts.monthly_cost__adds_up": count_customer_twice,
    "marts.reconciliation__reconciles": unreconciled,
    "ops.loads__balances": unbalanced,
    "ops.incidents__unique_incident": open_twice,
    **{f"{table}__known_fields": new_field(table) for table in RAW},
    "marts.live_audience__unique_grain": twice_in_audience,
}
for number, mart in enumerate(sorted({mart.name for mart in find_marts()} - {"live_audience"})):
    OFFENCES[f"marts.{mart}__unique_grain"] = twice_in_mart(mart, is_null=number % 2 == 0)
for fact in (table.full_name for table in FACTS):
    OFFENCES |= {
        f"{fact}__unique_key": twice(fact),
        f"{fact}__never_shrinks": shrunk(fact),
        f"{fact}__day_gaps": gap(fact),
        f"{fact}__ledger_matches": torn(fact),
        f"{fact}__quarantine_empty": quarantined(fact),
    }


def offenders(run: FileWarehouse, check: str) -> list[dict[str, object]]:
    return run.query(CHECKS[check].sql)


def reconcile(run: FileWarehouse) -> None:
    """Make overall say what the sessions say."""
    run.connection.execute(
        """UPDATE core.livestream_analytics_daily AS overall
        SET ingest_seconds = sums.ingest, viewer_seconds = sums.viewer, session_count = sums.sessions
        FROM (
            SELECT app_id, day, sum(ingest_seconds) AS ingest, sum(viewer_seconds) AS viewer, count(*) AS sessions
            FROM core.livestream_sessions GROUP BY ALL
        ) AS sums
        WHERE overall.app_id = sums.app_id AND overall.day = sums.day"""
    )
    run.connection.execute("DELETE FROM ops.mart_builds")
    run.build("reconciliation")


def test_every_check_has_an_offence_here() -> None:
    assert set(CHECKS) == set(OFFENCES)


@pytest.fixture(scope="module")
def made_reconciled(
    made_busy: tuple[Path, datetime], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, datetime]:
    """The busy warehouse with an *overall* that says what the sessions say: every check passes."""
    busy, now = made_busy
    path = tmp_path_factory.mktemp("reconciled") / "reconciled.duckdb"
    copyfile(busy, path)
    run = FileWarehouse(path, now)
    reconcile(run)
    assert {check: offenders(run, check) for check in CHECKS} == {check: [] for check in CHECKS}
    run.connection.close()
    return path, run.now


@pytest.mark.parametrize("check", long_except(OFFENCES, *list(OFFENCES)[::3]))
def test_a_check_passes_until_its_offence_is_committed(
    check: str, made_reconciled: tuple[Path, datetime], tmp_path: Path
) -> None:
    path, now = made_reconciled
    copyfile(path, tmp_path / "reconciled.duckdb")
    run = FileWarehouse(tmp_path / "reconciled.duckdb", now)
    OFFENCES[check](run)
    assert offenders(run, check) != []
    run.connection.close()


def test_every_check_passes_on_an_empty_warehouse(warehouse: FileWarehouse) -> None:
    warehouse.build_all()
    assert {check: offenders(warehouse, check) for check in CHECKS} == {check: [] for check in CHECKS}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_describes_its_purpose_and_whether_it_blocks(check: str) -> None:
    found = CHECKS[check]
    assert len(found.description) > 40
    assert "{" not in found.description + found.sql
    assert found.is_blocking == (found.rule in {"unique_key", "unique_grain", "ledger_matches", "balances", "adds_up"})


def test_shrinks_are_reported_for_the_latest_run_only(busy: FileWarehouse) -> None:
    check = "core.livestream_sessions__never_shrinks"
    OFFENCES[check](busy)
    busy.load("core.livestream_sessions", date(2025, 11, 21), run_id="the next")
    assert offenders(busy, check) == []


def test_a_run_judges_the_apps_that_it_loads(busy: FileWarehouse) -> None:
    """Of a night that is split, another run may be in the middle of the others."""
    check = "core.livestream_sessions__ledger_matches"
    torn("core.livestream_sessions")(busy)
    for other_apps, count in (((), 1), (("b",), 0), (("a",), 1)):
        assert run_check(busy.connection, CHECKS[check], other_apps=other_apps).row_count == count

"""marts.reconciliation: the verdict on a day, by its sessions and the API's own totals."""

from datetime import datetime

import pytest

from pipelines.catalog.core import LIVESTREAM_ANALYTICS_DAILY
from tests.report.conftest import DAY, NEXT, SESSIONS, FileWarehouse, Row, only, part, session

OVERALL = LIVESTREAM_ANALYTICS_DAILY.full_name


def reconciled(warehouse: FileWarehouse, overall: Row | None, *sessions: Row) -> Row:
    if overall is not None:
        warehouse.load(OVERALL, DAY, overall)
    warehouse.load(SESSIONS, DAY, *sessions)
    return only(warehouse.mart("reconciliation"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("ingest", "viewer", "verdict"),
    [
        (3600.0, 7200.0, "match"),
        (3600.5, 7200.5, "match"),
        (3600.6, 7200.0, "sessions_missing"),
        (3600.0, 7300.0, "sessions_missing"),
        (3500.0, 7300.0, "sessions_missing"),
        (3599.4, 7200.0, "overall_behind"),
        (3600.0, 0.0, "overall_behind"),
        (None, 7200.0, "unknown"),
    ],
)
def test_reconciliation_judges_a_settled_day(
    warehouse: FileWarehouse, ingest: float | None, viewer: float, verdict: str
) -> None:
    overall = {"livestream_count": 1, "ingest_seconds": ingest, "viewer_seconds": viewer}
    row = reconciled(warehouse, overall, session("1", f"{DAY}T10:00:00", f"{DAY}T11:00:00"))
    assert row["verdict"] == verdict
    assert row["viewer_seconds_difference"] == viewer - 7200


def test_the_tolerance_grows_with_the_figures(warehouse: FileWarehouse) -> None:
    overall = {"ingest_seconds": 10_000_009.0, "viewer_seconds": 0.0}
    watched = session("1", f"{DAY}T10:00:00", f"{DAY}T11:00:00", ingest_seconds=10_000_000.0, viewer_seconds=0.0)
    assert reconciled(warehouse, overall, watched)["verdict"] == "match"


@pytest.mark.long
def test_a_day_with_a_stream_on_air_or_loaded_before_its_end_is_unsettled(warehouse: FileWarehouse) -> None:
    overall: Row = {"ingest_seconds": 9.0, "viewer_seconds": 9.0}
    assert reconciled(warehouse, overall, session("1", f"{DAY}T10:00:00"))["verdict"] == "unsettled"
    assert reconciled(warehouse, overall)["verdict"] == "sessions_missing"
    early = datetime(2025, 12, 10, 20)
    assert reconciled(warehouse, overall | {"fetched_at": early})["verdict"] == "unsettled"
    warehouse.load(OVERALL, DAY, overall)
    warehouse.load(SESSIONS, DAY, loaded_at=early)
    warehouse.connection.execute("DROP TABLE marts.reconciliation")
    assert only(warehouse.mart("reconciliation"))["verdict"] == "unsettled"


def test_nothing_is_compared_with_what_is_unknown(warehouse: FileWarehouse) -> None:
    assert reconciled(warehouse, None, session("1"))["verdict"] == "unknown"
    warehouse.load(OVERALL, NEXT, {"ingest_seconds": 1.0, "viewer_seconds": 1.0})
    assert [row["verdict"] for row in warehouse.mart("reconciliation")] == ["unknown", "unknown"]


def test_quarantined_sessions_are_shown_beside_the_difference(warehouse: FileWarehouse) -> None:
    warehouse.insert("ops.quarantine", {"app_id": "a", "table_name": SESSIONS, "day": DAY, "record_id": "x"})
    row = reconciled(warehouse, {"livestream_count": 2, "ingest_seconds": 1.0, "viewer_seconds": 1.0})
    assert part(row, "sessions_quarantined", "livestreams_difference", "verdict") == {
        "sessions_quarantined": 1,
        "livestreams_difference": 2,
        "verdict": "sessions_missing",
    }

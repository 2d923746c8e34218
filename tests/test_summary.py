"""The summary of a run: complete for a few apps, at most a screen for many."""

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from pipelines.cli.summary import print_summary
from pipelines.simulator.server import Simulator
from pipelines.steps.summary import summarize
from tests.pipeline_runner import open_published, run_pipeline, settings_for, small_world

APP = {"livestreams": 9, "sessions": 1234, "quarantined": 4, "requests": 90, "retries": None}


def summary_of(apps: int, **changed: Any) -> dict[str, Any]:
    kinds = ("disabled", "created_at", "ingest_seconds", "viewer_seconds", "status", "updated_at", "id", "day")
    quarantined = [
        {"table_name": "core.livestream_sessions", "field": f, "reason": "not a yes", "records": 2} for f in kinds
    ]
    return {
        "run_id": "r",
        "job": "backfill",
        "succeeded": True,
        "first_day": "2026-10-26",
        "last_day": "2026-11-24",
        "seconds": 4.5,
        "caught_up": None,
        "apps": [{"app_id": f"app-{n}", **APP} for n in range(apps)],
        "notes": [f"app-{n}: overall is larger" for n in range(apps)],
        "warnings": [
            "core.livestreams: 2 rows break `quarantine_empty`: no record is quarantined",
            "marts.x: 1 row breaks",
        ],
        "quarantined": quarantined[:apps],
        "errors": [],
        "warehouse": "data/warehouse.duckdb",
    } | changed


def printed(summary: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> list[str]:
    print_summary(summary)
    return capsys.readouterr().out.splitlines()


def test_a_summary_of_many_apps_fits_a_screen_and_mentions_everything(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "NO_COLOR": "1", "COLUMNS": "100", "LINES": "30"}.items():
        monkeypatch.setenv(name, value)
    lines = printed(summary_of(50), capsys)
    assert len(lines) < 30
    for expected in (
        "42 more apps",
        "47 more like this",
        "Warning: marts.x",
        "Quarantined",
        "--json",
        "Verify it:",
        "Query it:",
    ):
        assert any(expected in line for line in lines), expected
    assert not any("quarantine_empty" in line for line in lines), "they have their own section"


def test_a_summary_of_two_apps_is_whole_and_no_line_is_broken_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    long = "app-0: " + "overall is larger than the loaded sessions " * 3
    lines = printed(summary_of(2, notes=[long], warnings=[]), capsys)
    assert long.strip() in [line.strip() for line in lines]
    assert cell_len(long) > 80
    assert not any("… and" in line for line in lines)
    assert not any("Verify it" in line for line in lines)


def test_a_rule_that_many_tables_break_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    gaps = [f"core.table_{n}: 52 rows break `day_gaps`: No day of core.table_{n} was left out" for n in range(4)]
    lines = printed(summary_of(1, warnings=[*gaps, "marts.x: 1 row breaks `reconciles`: they agree"]), capsys)
    assert [line.rstrip() for line in lines if line.startswith("Warning")] == [
        f"Warning: {gaps[0]} (3 more like this)",
        "Warning: marts.x: 1 row breaks `reconciles`: they agree",
    ]


def test_a_run_that_brought_nothing_points_at_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(summary_of(0, succeeded=False, warnings=[], notes=[]), capsys) == [
        "2026-10-26 to 2026-11-24 not loaded in 4.5 s"
    ]


@pytest.mark.long
def test_the_column_of_quarantined_records_agrees_with_the_list_below_it(tmp_path: Path) -> None:
    """Seen: 4 in the column, 2 in the list."""
    with Simulator(small_world(values="mixed")) as simulator:
        settings = settings_for(simulator, tmp_path)
        for run_id in ("first", "second"):  # which receives again only some of the quarantined records
            run_pipeline(settings, run_id=run_id)
            with open_published(settings) as connection:
                summary = summarize(connection, run_id)
            listed = sum(entry["records"] for entry in summary["quarantined"])
            assert listed == sum(app["quarantined"] for app in summary["apps"]) > 0

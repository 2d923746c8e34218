"""`livehouse statement`: October is closed in November, corrections arrive, and December's statement says what changed and why."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.simulator.records import Usage
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.fixed_clock import clock_set_to
from tests.night_runner import at_hour
from tests.pipeline_runner import apply_settings, environment_for, query, run_pipeline, settings_for
from tests.promises.fault_runner import run_cli

APP = "aula"
FIRST, LAST = date(2025, 10, 1), date(2025, 10, 31)
NOVEMBER, DECEMBER = datetime(2025, 11, 2, 6), datetime(2025, 12, 2, 6)
SOLO, MEETING = "=HYPERLINK(1)", "Nord"
"""Customers of a livestream of its own, and of one that streams a meeting."""


@dataclass
class October:
    """A home that has loaded October, at the beginning of November."""

    simulator: Simulator
    home: Path
    sessions: list[str]
    variables: dict[str, str]

    @property
    def world(self) -> World:
        return self.simulator.world

    def run(self, *arguments: str, at: datetime = NOVEMBER) -> tuple[int, str, str]:
        with clock_set_to(at):
            return run_cli(environment_for(self.simulator, self.home, **self.variables), "statement", *arguments)

    def load(self, first: date, last: date, at: datetime) -> None:
        self.world.now = at
        with clock_set_to(at):
            run_pipeline(settings_for(self.simulator, self.home, **self.variables), (first, last), run_id=f"{at}")

    def read(self, *arguments: str, at: datetime = NOVEMBER) -> Any:
        status, out, err = self.run("2025-10", "--format", "json", *arguments, at=at)
        assert (status, err) == (0, "")
        return json.loads(out)


def october_world() -> tuple[World, list[str]]:
    world = World(now=NOVEMBER, values="numbers")
    world.add_app(APP, ["meeting"])
    solo = world.add_livestream(APP, name="solo", created_at=at_hour(FIRST, -24))
    meeting = world.add_livestream(APP, name="meeting", meeting_id="meeting", created_at=at_hour(FIRST, -23))
    for day in range(3):
        world.set_day(APP, FIRST + timedelta(days=day), meetings=Usage(1, 10.0), recordings=Usage(1, 20.0))
    sessions = [
        world.add_session(
            APP,
            stream.id,
            created_at=at_hour(FIRST + timedelta(days=day), 10),
            ingest_seconds=600.0,
            viewer_seconds=6e3,
        ).id
        for day, stream in enumerate((solo, meeting, solo))
    ]
    return world, [solo.id, *sessions]


@pytest.fixture(scope="module")
def loaded_october(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("october") / "home"
    world, (solo, *_) = october_world()
    (home.parent / "customers.csv").write_text(
        f"livestream_id,meeting_id,customer\n{solo},,{SOLO}\n,meeting,{MEETING}\n"
    )
    (home.parent / "allowances.toml").write_text(
        f"""[apps.{APP}]
        viewer_minutes = {{included = 250, overage_rate = 0.5}}
        [customers]
        "{SOLO}".viewer_minutes = {{included = 1000}}
        """
    )
    with Simulator(world) as simulator:
        October(simulator, home, [], terms_of(home)).load(FIRST, LAST, NOVEMBER)
    return home


def terms_of(home: Path) -> dict[str, str]:
    return {
        "LIVEHOUSE_CUSTOMERS": str(home.parent / "customers.csv"),
        "LIVEHOUSE_ALLOWANCES": str(home.parent / "allowances.toml"),
    }


@pytest.fixture
def october(loaded_october: Path, tmp_path: Path) -> Iterator[October]:
    home = tmp_path / "home"
    shutil.copytree(loaded_october, home)
    world, (_, *sessions) = october_world()
    with Simulator(world) as simulator:
        yield October(simulator, home, sessions, terms_of(loaded_october))


@pytest.mark.long
def test_statement_lists_usage_and_cost(october: October) -> None:
    content = october.read()
    lines = {(line["level"], line["item"]): line for line in content["lines"]}
    assert {item: line["quantity"] for (level, item), line in lines.items() if level == "app"} == {
        "sessions": 3,
        "viewer_minutes": 300.0,
        "ingest_minutes": 30.0,
        "meeting_ingest_minutes": 10.0,
        "recording_minutes": 60.0,
        "meeting_minutes": 30.0,
        "cost": None,
    }
    assert lines["app", "cost"]["dollars"] == lines["total", "cost"]["dollars"] == 0.1 + 0.6 + 0.06
    beyond = lines["app", "viewer_minutes"]
    assert (beyond["included_minutes"], beyond["overage_minutes"], beyond["overage_dollars"]) == (250.0, 50.0, 25.0)
    assert (content["is_complete"], content["closed"], content["changes"]) == (True, None, [])
    assert content["as_of"].startswith("2025-11-02T06:")
    assert any("$0.010 per minute" in line for line in content["assumptions"])
    [app] = content["completeness"]
    assert (app["app_id"], app["days_known"], app["is_complete"]) == (APP, 31, True)

    by_customer = october.read("--by", "customer")
    customers = {line["holder"]: line["quantity"] for line in by_customer["lines"] if line["item"] == "viewer_minutes"}
    assert customers == {SOLO: 200.0, MEETING: 100.0, "unassigned": 0.0, None: 300.0}
    assert by_customer["lines"][-1]["dollars"] == lines["total", "cost"]["dollars"]


def test_a_table_and_a_csv_for_a_spreadsheet(october: October) -> None:
    status, table, err = october.run("2025-10", "--by", "customer")
    assert (status, err) == (0, "")
    assert table.startswith("2025-10 by customer, as of 2025-11-02 06:")
    assert "all 31 days are known and final" in table
    assert "Not closed: `livehouse statement 2025-10 --close` keeps these figures." in table
    status, text, err = october.run("2025-10", "--by", "customer", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert {row["name"] for row in rows} == {"'" + SOLO, MEETING, "unassigned", ""}
    total = next(row for row in rows if (row["level"], row["item"]) == ("total", "cost"))
    assert (total["dollars"], total["is_complete"], total["stated"]) == ("0.760000", "true", "")


@pytest.mark.long
def test_december_explains_changes_in_october(october: October) -> None:
    corrected, *_ = october.sessions
    terms, october.variables = october.variables, {}  # closing leaves the terms of the last run
    status, table, err = october.run("2025-10", "--close")
    assert (status, err) == (0, "closed 2025-10 as statement 1\n")
    assert "Closed as statement 1: later statements" in table
    assert "Not closed" not in table
    october.variables = terms
    assert "is closed already, by statement 1 of 2025-11-02" in october.run("2025-10", "--close")[2]
    assert query(settings_for(october.simulator, october.home), "SELECT DISTINCT number FROM ops.statements") == [(1,)]
    assert october.read()["changes"] == []
    assert "Nothing has changed since statement 1" in october.run("2025-10")[1]

    october.world.now = datetime(2025, 11, 20)
    october.world.change_session(APP, corrected, ingest_seconds=600.0, viewer_seconds=9e3)
    stream = october.world.apps[APP].livestreams[1].id
    late = october.world.add_session(APP, stream, created_at=at_hour(LAST, 9), ingest_seconds=60.0, viewer_seconds=60.0)
    october.world.apps[APP].by_id[stream].touch(october.world.now_ms)
    october.world.set_day(APP, FIRST, meetings=Usage(1, 10.0), recordings=Usage(2, 50.0))
    october.load(FIRST, LAST, DECEMBER)
    october.variables["LIVEHOUSE_PARTICIPANT_RATE"] = "0.0040000001"
    with clock_set_to(DECEMBER):
        apply_settings(settings_for(october.simulator, october.home, **october.variables))

    content = october.read(at=DECEMBER)
    assert content["closed"]["number"] == 1
    changes = {
        change["item"]: {cause["cause"]: round(cause["change"], 6) for cause in change["causes"]}
        for change in content["changes"]
        if change["level"] == "app"
    }
    assert changes == {
        "sessions": {"late session": 1},
        "viewer_minutes": {"late session": 1, "late session correction": 50},
        "ingest_minutes": {"late session": 1},
        "meeting_ingest_minutes": {"late session": 1},
        "recording_minutes": {"late correction of a day": 30},
        "cost": {"late session": 0.01, "late correction of a day": 0.3, "rate changed": 0.06},
        "viewer_minutes beyond the allowance": {"usage changed": 51},
        "viewer_minutes beyond the allowance, cost": {"usage changed": 25.5},
    }
    table = october.run("2025-10", at=DECEMBER)[1]
    assert f"late session correction: +50 (1 record, 2025-10-01: {corrected})" in table
    assert f"late session: +1 (1 record, 2025-10-31: {late.id})" in table
    rows = list(csv.DictReader(io.StringIO(october.run("2025-10", "--format", "csv", at=DECEMBER)[1])))
    [cost] = [row for row in rows if (row["level"], row["item"]) == ("app", "cost")]
    assert (cost["stated"], cost["dollars"], cost["change"]) == ("0.760000", "1.130000", "0.37")
    assert "rate changed: +0.06" in cost["causes"]
    assert [row["rate"] for row in rows if (row["level"], row["item"]) == ("app", "meeting_minutes")] == [
        "0.0040000001"
    ]
    assert cost["closed_at"].startswith("2025-11-02 06:")
    assert not [value for row in rows for value in row.values() if value.startswith(("=", "+", "'+"))]

    status, _, err = october.run("2025-10", "--close", at=DECEMBER)
    assert (status, err.count("\n")) == (0, 1)
    assert "closed 2025-10 as statement 2; it was closed before, by statement 1 of 2025-11-02" in err
    assert october.read(at=DECEMBER)["changes"] == []
    stated = query(
        settings_for(october.simulator, october.home),
        "SELECT number, round(sum(cost), 6) FROM ops.statements GROUP BY number ORDER BY number",
    )
    assert stated == [(1, 0.76), (2, 1.13)]


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("2025-13",), "'2025-13' is not a month: write it YYYY-MM, as 2026-10"),
        (("2025-1",), "'2025-1' is not a month"),
        (("october",), "'october' is not a month"),
        (("2026-01",), "2026-01 is in the future"),
        (("2025-09",), "nothing of 2025-09 is loaded: loaded months are 2025-10 to 2025-10"),
        (("2025-09", "--close"), "nothing of 2025-09 is loaded"),
        (("2025-11", "--close"), "2025-11 is not over: close it after 2025-11-30, or add --allow-incomplete"),
        (("2025-10", "--allow-incomplete"), "--allow-incomplete goes with --close"),
        (("2025-10", "--by", "livestream"), "Invalid value for '--by'"),
    ],
)
def test_a_month_that_cannot_be_stated_is_one_line(arguments: tuple[str, ...], message: str, october: October) -> None:
    status, out, err = october.run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


@pytest.mark.long
def test_an_incomplete_month_is_closed_only_on_demand(october: October) -> None:
    settings = settings_for(october.simulator, october.home, **october.variables)
    october.world.break_record(october.sessions[0], "viewer_seconds", "n/a")
    october.world.apps[APP].livestreams[0].touch(october.world.now_ms + 1)
    october.load(FIRST, FIRST, NOVEMBER + timedelta(hours=1))
    status, out, err = october.run("2025-10", "--close")
    assert (status, out) == (2, "")
    assert "2025-10 is incomplete, so its figures can still change" in err
    assert query(settings, "SELECT count(*) FROM ops.statements") == [(0,)]
    status, out, _ = october.run("2025-10", "--close", "--allow-incomplete")
    assert status == 0
    assert "INCOMPLETE" in out
    assert "records in quarantine, which are not counted: 1" in out
    assert query(settings, "SELECT DISTINCT is_complete FROM ops.statements") == [(False,)]


def test_missing_warehouse_is_one_line(tmp_path: Path) -> None:
    for arguments in (("2025-10",), ("2025-10", "--close")):
        status, out, err = run_cli({"LIVEHOUSE_HOME": str(tmp_path)}, "statement", *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1)
        assert "livehouse nightly" in err


@pytest.mark.long
def test_a_month_of_a_lakehouse_is_closed_too(lake: str, tmp_path: Path) -> None:
    world, (_, corrected, *_) = october_world()
    with Simulator(world) as simulator:
        october = October(simulator, tmp_path / "home", [], {"LIVEHOUSE_WAREHOUSE": lake})
        october.load(FIRST, LAST, NOVEMBER)
        assert "closed 2025-10 as statement 1" in october.run("2025-10", "--close")[2]
        assert october.read()["changes"] == []
        world.now = datetime(2025, 11, 20)
        world.change_session(APP, corrected, ingest_seconds=600.0, viewer_seconds=9e3)
        october.load(FIRST, LAST, DECEMBER)
        [change] = [change for change in october.read(at=DECEMBER)["changes"] if change["level"] == "app"]
        assert (change["item"], [cause["cause"] for cause in change["causes"]]) == (
            "viewer_minutes",
            ["late session correction"],
        )

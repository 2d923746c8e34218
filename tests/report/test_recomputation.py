"""Every mart and the examples, recomputed in plain Python from the simulator's truth: what is loaded says the same."""

import math
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.marts.examples import find_examples
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.pipeline_runner import DAYS, LoadedWarehouse, open_published, run_pipeline, settings_for, small_world
from tests.report import recompute
from tests.report.recompute import GRAINS, MARTS, Facts, Row, failed, midnight, month_of, on_air_until

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
    facts = Facts([], [], {}, {}, {}, loaded, aside)
    for app_id in world.apps:
        truth = world.expected_rows(app_id, *days)
        facts.livestreams += truth.livestreams.values()
        facts.sessions += [row | {"fetched_at": received[key]} for key, row in truth.livestream_sessions.items()]
        facts.overall |= {key: totals[key] | row for key, row in truth.livestream_analytics_daily.items()}
        facts.meetings |= truth.meeting_sessions_daily
        facts.recordings |= truth.recordings_daily
    return facts


def same(ours: Any, theirs: Any) -> bool:
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
    for name, of in {
        "busiest_hour": busiest_hour,
        "error_messages": error_messages,
        "time_to_live_by_week": time_to_live_by_week,
        "weekday_rhythm": weekday_rhythm,
        "peak_streams": peak_streams,
        "never_watched": never_watched,
    }.items():
        rows, wanted = query(connection, EXAMPLES[name]), of(facts)
        keys = [column for column in (rows[0] if rows else {}) if column in KEYS]
        held = {tuple(row[key] for key in keys): row for row in rows}
        expected = {tuple(row[key] for key in keys): row for row in wanted}
        assert held.keys() <= expected.keys(), name
        assert len(held) == len(rows) == min(len(expected), 20 if name == "busiest_hour" else len(expected)), name
        for key, row in held.items():
            different = {
                column: (value, row[column]) for column, value in expected[key].items() if not near(value, row[column])
            }
            assert not different, (name, key)


KEYS = ("app_id", "weekday", "hour_of_day", "month", "week", "err_message", "livestream_id")


def near(ours: Any, theirs: Any) -> bool:
    """Equal, but for the last digit that an example rounds to."""
    return same(ours, theirs) or (isinstance(theirs, float) and ours is not None and abs(ours - theirs) < 0.051)


def last_day(facts: Facts) -> date:
    return max(day for table, _, day in facts.loaded if table == recompute.SESSIONS)


def busiest_hour(facts: Facts) -> list[Row]:
    first = last_day(facts) - timedelta(days=27)
    counted: dict[tuple[str, str, int], int] = defaultdict(int)
    hours: dict[tuple[str, str, int], float] = defaultdict(float)
    for (table, app, day), (is_known, loaded_at) in facts.loaded.items():
        if table != recompute.SESSIONS or not is_known or day < first:
            continue
        spans = recompute.spans_within(facts.of_apps([app]), day)
        for hour in range(24):
            begin = midnight(day) + timedelta(hours=hour)
            if begin >= loaded_at:
                continue
            end = begin + timedelta(hours=1)
            key = (app, f"{day:%A}", hour)
            counted[key] += 1
            hours[key] += sum(max(0.0, (min(b, end) - max(a, begin)).total_seconds()) for a, b in spans) / 3600
    return [
        {"app_id": app, "weekday": weekday, "hour_of_day": hour, "average_concurrent_streams": hours[key] / count}
        for key, count in counted.items()
        for app, weekday, hour in [key]
        if hours[key] > 0
    ]


def error_messages(facts: Facts) -> list[Row]:
    since = last_day(facts) - timedelta(days=28)
    found: dict[str, list[Row]] = defaultdict(list)
    for row in facts.sessions:
        if failed(row) and row["day"] > since:
            found[row["err_message"]].append(row)
    return [
        {
            "err_message": message,
            "sessions": len(rows),
            "after_going_live": sum(row["started_at"] is not None for row in rows),
            "livestreams": len({(row["app_id"], row["livestream_id"]) for row in rows}),
            "first_day": min(row["day"] for row in rows),
        }
        for message, rows in found.items()
    ]


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def time_to_live_by_week(facts: Facts) -> list[Row]:
    since = monday(last_day(facts)) - timedelta(weeks=11)
    found: dict[tuple[date, str], list[float]] = defaultdict(list)
    for row in facts.sessions:
        waited = recompute.waited(row)
        if waited is not None and row["day"] >= since:
            found[monday(row["day"]), row["app_id"]].append(waited)
    made = []
    for (week, app), waits in found.items():
        before, now = found.get((week - timedelta(days=7), app), []), recompute.percentile(waits, 0.95)
        then = recompute.percentile(before, 0.95)
        more = None if now is None or then is None else now - then
        made.append(
            {"week": week, "app_id": app, "sessions_live": len(waits), "p95_seconds": now, "p95_seconds_more": more}
        )
    return made


def weekday_rhythm(facts: Facts) -> list[Row]:
    daily = recompute.daily_usage(facts)
    since = max(day for _, day in daily) - timedelta(days=56)
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for (app, day), row in daily.items():
        if day > since:
            found[app, f"{day:%A}"].append(row)

    def mean(rows: list[Row], name: str, factor: float) -> float | None:
        known = [row[name] for row in rows if row[name] is not None]
        return sum(known) / len(known) / factor if known else None

    return [
        {
            "app_id": app,
            "weekday": weekday,
            "days_known": sum(row["sessions"] is not None for row in rows),
            "sessions_a_day": mean(rows, "sessions", 1),
            "viewer_hours_a_day": mean(rows, "viewer_seconds", 3600),
        }
        for (app, weekday), rows in found.items()
    ]


def peak_streams(facts: Facts) -> list[Row]:
    found: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for (app, day), row in recompute.stream_concurrency(facts).items():
        found[app, month_of(day)].append(row)
    return [
        {
            "app_id": app,
            "month": month,
            "peak_concurrent_streams": max(row["peak_concurrent_streams"] for row in rows),
            "stream_hours": sum(row["stream_hours"] for row in rows),
        }
        for (app, month), rows in found.items()
    ]


def never_watched(facts: Facts) -> list[Row]:
    rows = recompute.livestream_performance(facts)
    latest = max(month for _, _, month in rows)
    return [
        {"app_id": app, "livestream_id": livestream, "sessions": row["sessions"]}
        for (app, livestream, month), row in rows.items()
        if month == latest and row["is_never_watched"]
    ]


def test_a_small_account_is_recomputed(loaded: LoadedWarehouse) -> None:
    with open_published(loaded.settings) as connection:
        facts = facts_of(connection, loaded.simulator.world, DAYS)
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

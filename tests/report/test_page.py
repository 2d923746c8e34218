"""The page shows the same figures as SQL, whatever the warehouse holds, and text from outside cannot become code."""

import hashlib
import html
import re
import stat
from base64 import b64encode
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import WarehouseError
from pipelines.report import figures
from pipelines.report.page import SCRIPTS, WEB, as_json, as_script, render_page
from tests.report.test_page_cases import HOSTILE, embedded, make_warehouse, named, write_page_of

COLUMNS = {
    "sessions": "sessions",
    "failed": "failed_sessions",
    "ingest_seconds": "ingest_seconds",
    "viewer_seconds": "viewer_seconds",
    "meeting_sessions": "meeting_sessions",
    "meeting_minutes": "meeting_minutes",
    "recordings": "recordings",
    "recording_minutes": "recording_minutes",
}


def page_of(published: Path) -> str:
    return write_page_of(published, published.parent / "report.html").read_text(encoding="utf-8")


def query(published: Path, sql: str) -> list[Any]:
    with duckdb.connect(published, read_only=True) as connection:
        return connection.execute(sql).fetchall()


def decoded(waits: list[int]) -> list[int]:
    """Decode a day's times to live: a negative number repeats the number before it."""
    values: list[int] = []
    for value in waits:
        values.extend([values[-1]] * -value if value < 0 else [value])
    return values


def test_daily_figures_equal_the_marts(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    days = embedded(page_of(published))["days"]
    columns = ", ".join(COLUMNS.values())
    rows = query(published, f"SELECT {columns} FROM marts.daily_usage ORDER BY app_id, day")
    shown = list(zip(*(days[name] for name in COLUMNS), strict=True))
    assert len(shown) == len(rows) == 120
    for ours, theirs in zip(shown, rows, strict=True):
        assert ours == pytest.approx(theirs, abs=0.001)


def test_livestreams_and_messages_add_up_to_the_sessions(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    data = embedded(page_of(published))
    [totals] = query(
        published,
        "SELECT count(*), count(*) FILTER (WHERE err_message <> ''), sum(ingest_seconds), sum(viewer_seconds)"
        " FROM core.livestream_sessions",
    )
    streams = data["streams"]["rows"]
    sums = [sum(streams[name]) for name in ("sessions", "failed", "ingest_seconds", "viewer_seconds")]
    assert sums == pytest.approx(totals, abs=1)
    messages = data["messages"]["rows"]
    assert sum(messages["before_live"]) + sum(messages["after_live"]) == totals[1]
    assert set(data["messages"]["keys"]["message"]) == {"handshake failed", "encoder gone"}


def test_every_time_to_live_is_embedded(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    data = embedded(page_of(published))
    [(listed,)] = query(
        published,
        "SELECT list(round(epoch(started_at - invoked_at) * 1000)::BIGINT) FROM core.livestream_sessions"
        " WHERE started_at IS NOT NULL",
    )
    assert sorted(value for day in data["waits"]["waits"] for value in decoded(day)) == sorted(listed)
    assert data["waits_are_exact"]


def test_many_times_to_live_are_rounded_to_steps_of_two_percent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = make_warehouse(tmp_path)
    exact = [decoded(day) for day in embedded(page_of(published))["waits"]["waits"]]
    monkeypatch.setitem(figures.LIMITS, "exact", 10)
    data = embedded(page_of(published))
    assert not data["waits_are_exact"]
    for rounded, day in zip((decoded(day) for day in data["waits"]["waits"]), exact, strict=True):
        assert len(rounded) == len(day)
        for ours, theirs in zip(rounded, day, strict=True):
            assert ours == pytest.approx(theirs, rel=0.0101, abs=0.51)


def test_peak_of_all_apps_is_not_the_sum_of_their_peaks(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    data = embedded(page_of(published))
    starts = query(
        published,
        "SELECT started_at, stopped_at FROM core.livestream_sessions WHERE started_at IS NOT NULL ORDER BY started_at",
    )
    [day] = query(published, "SELECT DATE '2026-02-10'")
    at_once = [sum(begin <= start < end for begin, end in starts) for start, _ in starts if start.date() == day[0]]
    peaks = data["peaks"]
    rows = zip(peaks["app"], peaks["day"], peaks["peak"], peaks["known"], strict=True)
    [together, *own] = [(peak, known) for _, offset, peak, known in rows if offset == 41]
    assert together == (max(at_once), 2)
    assert max(own) < together <= (sum(peak for peak, _ in own), 2)


@pytest.mark.long
def test_peak_of_a_single_app_equals_the_peak_of_all_apps(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, ("only",), sessions=9)
    peaks = embedded(page_of(published))["peaks"]
    rows = list(zip(peaks["app"], peaks["day"], peaks["peak"], peaks["peak_at"], strict=True))
    together, own = ([row[1:] for row in rows if row[0] == app] for app in (-1, 0))
    assert together == own
    assert len(own) == 60


@pytest.mark.long
def test_unknown_figures_are_null(tmp_path: Path) -> None:
    published = make_warehouse(
        tmp_path,
        ("app",),
        days=5,
        changes=(
            "DELETE FROM core.livestream_sessions WHERE day = '2026-02-26'",
            "UPDATE ops.days SET is_known = false WHERE day = '2026-02-26' AND table_name = 'core.livestream_sessions'",
            "DELETE FROM core.recordings_daily WHERE day = '2026-02-26'",
            "DELETE FROM ops.days WHERE day = '2026-02-26' AND table_name = 'core.recordings_daily'",
            "UPDATE ops.days SET loaded_at = TIMESTAMP '2026-02-28 23:00' WHERE day = '2026-02-28'",
        ),
    )
    data = embedded(page_of(published))
    days = data["days"]
    names = ("sessions", "viewer_seconds", "recordings", "exported_seconds", "recording_cost")
    assert [days[name][2] for name in names] == [None] * 5
    assert 2 not in data["peaks"]["day"]
    assert days["meeting_sessions"][2] == 2
    assert days["cost"][2] == days["meeting_cost"][2] == pytest.approx(2 * 31.3 * 0.002)
    assert days["is_cost_known"] == [True, True, False, True, True]


def coverage_of(published: Path, table: str = "core.livestream_sessions") -> list[list[Any]]:
    """Return a table's ranges of days: app, state, first day, last day, attempts to load it."""
    ranges = embedded(page_of(published))["coverage"]
    names = ("app", "state", "first_day", "last_day", "attempts")
    rows = zip(ranges["table_name"], *(ranges[name] for name in names), strict=True)
    return [row for name, *row in rows if name == table]


@pytest.mark.long
def test_coverage_lists_ranges_of_days_by_state(tmp_path: Path) -> None:
    recordings = "core.recordings_daily"
    published = make_warehouse(
        tmp_path,
        ("app",),
        days=9,
        changes=(
            "DELETE FROM core.livestream_sessions WHERE day = '2026-02-24'",
            "UPDATE ops.days SET is_known = false WHERE day = '2026-02-24' AND table_name = 'core.livestream_sessions'",
            "UPDATE ops.days SET loaded_at = TIMESTAMP '2026-02-28 23:00' WHERE day = '2026-02-28'",
            # a table that is behind: its newest days are gaps too
            f"DELETE FROM ops.days WHERE day IN ('2026-02-21', '2026-02-27', '2026-02-28') AND table_name = '{recordings}'",
            "DELETE FROM ops.days WHERE day = '2026-02-26'",
            "INSERT INTO ops.missing_days VALUES ('app', '2026-02-26', 2, '2026-03-01')",
        ),
    )
    assert coverage_of(published) == [
        [0, "known", 0, 3, None],
        [0, "unknown", 4, 4, None],
        [0, "known", 5, 5, None],
        [0, "gap", 6, 6, 2],
        [0, "known", 7, 7, None],
        [0, "provisional", 8, 8, None],
    ]
    assert coverage_of(published, recordings) == [
        [0, "known", 0, 0, None],
        [0, "gap", 1, 1, None],
        [0, "known", 2, 5, None],
        [0, "gap", 6, 8, 2],
    ]


@pytest.mark.long
def test_ingest_seconds_are_split_by_meeting_other_and_unlisted_livestreams(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, changes=("DELETE FROM core.livestreams WHERE livestream_id = 'stream-6'",))
    days = embedded(page_of(published))["days"]
    [(exported, direct, unplaced)] = query(
        published,
        """SELECT sum(ingest_seconds) FILTER (WHERE meeting_id IS NOT NULL),
            sum(ingest_seconds) FILTER (WHERE meeting_id IS NULL AND livestream_id <> 'stream-6'),
            sum(ingest_seconds) FILTER (WHERE livestream_id = 'stream-6')
            FROM core.livestream_sessions LEFT JOIN core.livestreams USING (app_id, livestream_id)""",
    )
    assert sum(days["exported_seconds"]) == pytest.approx(exported)
    assert sum(days["direct_seconds"]) == pytest.approx(direct)
    assert sum(days["unplaced_seconds"]) == pytest.approx(unplaced)


@pytest.mark.long
def test_only_the_livestreams_ranked_highest_in_a_month_are_embedded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = make_warehouse(tmp_path)
    whole = embedded(page_of(published))
    monkeypatch.setitem(figures.LIMITS, "stream_rows", 200)
    monkeypatch.setitem(figures.LIMITS, "messages", 1)
    data = embedded(page_of(published))
    assert len(whole["streams"]["keys"]["app"]) == whole["livestreams"] == data["livestreams"] == 40
    assert 0 < len(data["streams"]["rows"]["day"]) <= 200 < len(whole["streams"]["rows"]["day"])
    kept = set(zip(data["streams"]["keys"]["app"], data["streams"]["keys"]["livestream_id"], strict=True))
    best = query(
        published,
        """SELECT arg_max(livestream_id, (total, livestream_id)) FROM (
            SELECT app_id, livestream_id, date_trunc('month', day) AS month, sum(viewer_seconds) AS total
            FROM core.livestream_sessions WHERE app_id = 'main-app' GROUP BY ALL) GROUP BY month""",
    )
    assert {(0, stream) for (stream,) in best} <= kept
    assert None in data["messages"]["keys"]["message"]


def test_names_and_messages_are_embedded_as_data_only(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path, HOSTILE[:2], changes=named(HOSTILE))
    page = page_of(published)
    data = embedded(page)
    assert set(HOSTILE) <= set(data["streams"]["keys"]["name"])
    assert set(data["messages"]["keys"]["message"]) & set(HOSTILE)
    assert data["apps"] == sorted(HOSTILE[:2])
    block = page.split('id="figures">')[1].split("</script>")[0]
    assert not set("<>&\u2028") & set(block)
    assert page.count("<script") == page.count("</script>") == 5
    assert not [name for name in HOSTILE[:3] if name in page]


def test_json_and_scripts_cannot_end_their_element() -> None:
    assert as_json(["</script><!--\u2028&"]) == '["\\u003c/script\\u003e\\u003c!--\\u2028\\u0026"]'
    assert "</script" not in as_script('"</script>"')
    with pytest.raises(ValueError, match="JSON"):
        as_json(float("nan"))


def test_infinite_sums_are_unknown(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    with duckdb.connect(published) as connection:
        connection.execute(
            "UPDATE marts.daily_usage SET ingest_seconds = 'inf', viewer_seconds = 'nan' WHERE day = (SELECT max(day) FROM marts.daily_usage)"
        )
    days = embedded(page_of(published))["days"]
    assert None in days["ingest_seconds"]
    assert None in days["viewer_seconds"]


@pytest.mark.long
def test_no_function_of_the_scripts_is_unused() -> None:
    """The scripts share one scope, so biome and tsc cannot see that a function is unused."""
    code = "\n".join((WEB / script).read_text(encoding="utf-8") for script in SCRIPTS)
    functions = re.findall(r"^(?:async )?function (\w+)", code, re.MULTILINE)
    assert len(functions) > 50
    assert [name for name in functions if len(re.findall(rf"\b{name}\b", code)) < 2] == []
    assert sorted(SCRIPTS) == sorted(path.name for path in WEB.glob("*.js"))


def test_content_security_policy_allows_only_the_two_own_scripts(tmp_path: Path) -> None:
    page = page_of(make_warehouse(tmp_path))
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="([^"]+)"', page)[0])
    for script in scripts:
        assert f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert len(scripts) == policy.count("sha256-") == 2
    assert policy.startswith("default-src 'none';")
    assert "unsafe-eval" not in policy
    assert "http" not in policy
    assert not re.search(r"""<[^>]+\s(src|href)=["']?(https?:)?//""", page)


def test_page_of_an_unchanged_warehouse_is_byte_identical(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    target = tmp_path / "deep" / "report.html"
    pages = [write_page_of(published, target).read_bytes() for _ in range(2)]
    assert all(first == second for first, second in pairwise(pages))
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    made = {path.name for path in target.parent.iterdir()}
    assert made - {"cache"} == {"report.html"}  # a cache of charts only without those of the package


def test_page_of_an_empty_warehouse_names_the_commands_to_load_it(tmp_path: Path) -> None:
    page = page_of(make_warehouse(tmp_path, ()))
    assert "Nothing is loaded yet" in page
    assert "livehouse nightly" in page
    assert "<script" not in page


def embedded_rates(data: dict[str, Any]) -> list[list[float]]:
    """Return the rates of recordings, livestreams of meetings, and meetings, of each app."""
    return [line["rates"] for line in data["cost_lines"] if line["rates"] is not None]


@pytest.mark.long
def test_rates_come_from_the_warehouse_and_costs_are_those_of_the_mart(tmp_path: Path) -> None:
    audio = "UPDATE ops.rates SET media = 'audio', export_rate = 0.5, participant_rate = 0.25 WHERE app_id = 'side-app'"
    published = make_warehouse(tmp_path, changes=[audio])
    data = embedded(page_of(published))
    assert embedded_rates(data) == [[0.01, 0.5], [0.01, 0.5], [0.002, 0.25]]
    [(recordings, meetings, exports, cost)] = query(
        published,
        "SELECT sum(recording_cost), sum(meeting_cost), sum(export_cost), sum(cost) FROM marts.monthly_cost",
    )
    costs = [sum(data["days"][f"{name}_cost"]) for name in ("recording", "meeting", "export")]
    assert costs == pytest.approx([float(recordings), float(meetings), float(exports)], abs=1e-5)
    assert sum(data["days"]["cost"]) == pytest.approx(float(cost), abs=1e-5)


def test_quarantine_shrinks_loads_and_verdicts_are_embedded(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    with duckdb.connect(published) as connection:
        connection.execute(
            """INSERT INTO ops.quarantine BY NAME SELECT 'main-app' AS app_id, 'core.livestream_sessions' AS table_name,
                DATE '2026-02-27' AS day, 'r' || n AS record_id, 'ingest_seconds' AS field, 'not a number' AS reason
                FROM range(3) AS numbers(n)"""
        )
        connection.execute(
            """INSERT INTO ops.shrinks BY NAME SELECT 'side-app' AS app_id, 'core.recordings_daily' AS table_name,
                DATE '2026-02-28' AS day, 'x' AS record_id, 'forgot' AS reason"""
        )
    data = embedded(page_of(published))
    assert data["quarantine"] | {"app": [0]} == {
        "app": [0], "day": [58], "table_name": ["core.livestream_sessions"], "field": ["ingest_seconds"],
        "reason": ["not a number"], "records": [3], "example": ["r0"],
    }  # fmt: skip
    assert (data["shrinks"]["reason"], data["shrinks"]["records"]) == (["forgot"], [1])
    assert data["loads"]["requests"] == [12, 12]
    assert set(data["reconciliation"]["verdict"]) == {"match"}


def test_errors_are_one_line_with_a_remedy(tmp_path: Path) -> None:
    published = make_warehouse(tmp_path)
    (tmp_path / "taken").mkdir()
    with pytest.raises(WarehouseError, match="cannot be written: "):
        write_page_of(published, tmp_path / "taken")
    assert not list(tmp_path.glob(".taken*"))
    with duckdb.connect(published) as connection:
        connection.execute("DROP SCHEMA marts CASCADE")
    with pytest.raises(WarehouseError, match="run `livehouse rebuild 2025-12-31 2026-02-28`"):
        write_page_of(published, tmp_path / "report.html")


def test_page_without_figures_builds_no_charts(tmp_path: Path) -> None:
    assert len(render_page(None, tmp_path)) < 20_000
    assert not list(tmp_path.iterdir())

"""Services of other dialects are detected once, noted in `ops.api_dialect`, and loaded exactly."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipelines.catalog.core import LIVESTREAMS
from pipelines.catalog.streams import stream_of
from pipelines.errors import ApiError, ApiRefusedError
from pipelines.extract.dialect import (
    PAGE_SIZE,
    TIME_FORM,
    UNIX_SECONDS,
    ApiDialect,
    DialectKey,
    DialectNote,
    other_time_forms,
    smaller_page_sizes,
)
from pipelines.settings.settings import Settings
from pipelines.simulator.dialects import TODAY
from pipelines.simulator.server import Simulator
from pipelines.steps.context import open_run
from pipelines.steps.extract_stream import extract_stream
from pipelines.steps.load_core import load_livestreams
from pipelines.storage.warehouse import open_warehouse
from tests.intercepting_proxy import (
    InterceptingProxy,
    Query,
    Rule,
    intercept,
    refusal,
    refuse_iso_times,
    refuse_large_pages,
    refuse_livestream_daywise,
    refuse_path,
    refuse_unix_times,
)
from tests.parameters import long_except
from tests.pipeline_runner import LAST, assert_matches_world, query, run_pipeline, settings_for, small_world

DAY = (LAST, LAST)


WEEK = (LAST - timedelta(days=6), LAST)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    takes_both = replace(TODAY, times="both")  # the proxy in front of it accepts less
    with Simulator(small_world(apps=("aula",), livestreams=12, sessions=60), dialect=takes_both) as served:
        yield served


def settings_at(served: InterceptingProxy, home: Path, **others: str) -> Settings:
    return settings_for(served.simulator, home, CLOUDFLARE_BASE_URL=served.base_url, **others)


def dialect_of(settings: Settings) -> dict[tuple[str, str], str]:
    rows = query(
        settings, "SELECT operation, setting, value FROM ops.api_dialect WHERE base_url = ?", settings.base_url
    )
    return {(operation, setting): value for operation, setting, value in rows}


@pytest.mark.parametrize(
    ("rule", "form", "refused_at_first"),
    [
        (refuse_unix_times, "iso_8601", 2),
        pytest.param(refuse_iso_times, "unix_seconds", 0, marks=pytest.mark.long),
    ],
)
def test_the_form_of_times_is_detected_once_and_stored(
    rule: Rule, form: str, refused_at_first: int, simulator: Simulator, tmp_path: Path
) -> None:
    with intercept(simulator, rule) as served:
        settings = settings_at(served, tmp_path / "home")
        run_pipeline(settings, WEEK, run_id="first")
        assert len(served.refused) <= refused_at_first
        assert_matches_world(settings, simulator.world, WEEK)
        assert dialect_of(settings)["get-overall-analytics", "time_form"] == form
        served.refused.clear()
        run_pipeline(settings, WEEK, run_id="second")
        assert served.refused == [], "the second night sends no refused request"


@pytest.mark.long
def test_an_upgraded_service_is_detected(simulator: Simulator, tmp_path: Path) -> None:
    with intercept(simulator, refuse_unix_times) as served:
        settings = settings_at(served, tmp_path / "home")
        run_pipeline(settings, DAY)
        served.rules = [refuse_iso_times]
        run_pipeline(settings, DAY)
        assert dialect_of(settings)["get-overall-analytics", "time_form"] == "unix_seconds"
        served.refused.clear()
        run_pipeline(settings, DAY)
        assert served.refused == []


@pytest.mark.long
def test_a_refusal_for_another_reason_changes_nothing(simulator: Simulator, tmp_path: Path) -> None:
    # The vendor's GraphQL API refuses old ranges with this message, in either form of times.
    too_old = LAST - timedelta(days=3)

    def retention(path: str, params: Query) -> tuple[int, object] | None:
        if not path.endswith("/livestreams/overall"):
            return None
        start = params["start_time"]
        midnight = f"{too_old}T00:00:00.000Z"
        is_old = int(start) < _unix(too_old) if start.isdecimal() else start < midnight
        return refusal(400, "cannot request data older than 259200s") if is_old else None

    with intercept(simulator, retention) as served:
        settings = settings_at(served, tmp_path / "home")
        run_pipeline(settings, DAY)
        before = dialect_of(settings)
        assert before["get-overall-analytics", "time_form"] == "unix_seconds"
        _load_in_spite_of_errors(settings, (LAST - timedelta(days=9), LAST - timedelta(days=5)))
        assert {target.count("T00") for target in served.refused} <= {0, 1}
        run_pipeline(settings, DAY)
        assert dialect_of(settings) == before
        served.rules = [refuse_unix_times, retention]
        served.refused.clear()
        _load_in_spite_of_errors(settings, (LAST - timedelta(days=6), LAST))
        assert len([target for target in served.refused if "T00" not in target]) <= 2, (
            "the newest day is requested first"
        )


def _unix(day: date) -> int:
    return (day - date(1970, 1, 1)).days * 86_400


def _load_in_spite_of_errors(settings: Settings, days: tuple[date, date]) -> None:
    """Run the pipeline, whether or not the refused days fail the app."""
    try:
        run_pipeline(settings, days, full=True)
    except ApiError as error:
        assert "older than 259200s" in str(error)  # noqa: PT017 - either outcome is right here


@pytest.mark.parametrize("noted", [True, False])
def test_another_form_is_tried_at_most_once(*, noted: bool) -> None:
    # An operation that is refused altogether cost two requests for each day, every night.
    dialect, sent = ApiDialect(), []
    key = DialectKey("aula", "get-overall-analytics", TIME_FORM)
    if noted:
        dialect.load_notes([DialectNote(*key, UNIX_SECONDS, datetime(2026, 11, 26, tzinfo=UTC))])

    def send(form: str) -> None:
        sent.append(form)
        raise ApiRefusedError("GET /x: 400: no", status=400)

    for _ in range(3):
        with pytest.raises(ApiRefusedError):
            dialect.send_with_fallback(key, UNIX_SECONDS, send, other_time_forms)
    assert len(sent) == 2 + 1 + 1


@pytest.mark.parametrize("most", long_except([50, 99, 30, 7, 1], 50))
@pytest.mark.parametrize(
    "message",
    long_except(
        ["per_page must be between 1 and {most}", "Invalid request parameters", "page size too large"],
        "per_page must be between 1 and {most}",
    ),
)
def test_a_refused_page_size_is_lowered_once_and_stored(
    most: int, message: str, simulator: Simulator, tmp_path: Path
) -> None:
    with intercept(simulator, refuse_large_pages(most, message)) as served:
        settings = settings_at(served, tmp_path / "home")
        run_pipeline(settings, DAY)
        assert_matches_world(settings, simulator.world, DAY)
        accepted = dialect_of(settings)
        for operation in ("list-livestreams", "get-livestream"):
            size = int(accepted[operation, "page_size"])
            assert size <= most
            assert size == most or "{most}" not in message, "a maximum that is named is used"
        assert len(served.refused) <= 2 * 7
        served.refused.clear()
        run_pipeline(settings, DAY, full=True)
        assert served.refused == []
        assert_matches_world(settings, simulator.world, DAY)


@pytest.mark.parametrize(
    "message",
    long_except(
        ["account 50 is closed", "Invalid format for Authorization header", "Internal error"], "account 50 is closed"
    ),
)
def test_a_refusal_about_something_else_costs_no_extra_request(
    message: str, simulator: Simulator, tmp_path: Path
) -> None:
    with intercept(simulator, lambda *_: refusal(400, message)) as served:
        with suppress(ApiError):
            run_pipeline(settings_at(served, tmp_path / "home"), DAY)
        assert len([target for target in served.refused if "/livestreams?" in target]) == 1


@pytest.mark.parametrize(
    ("reason", "most", "sizes"),
    [
        ("per_page exceeds the 40 rows of this account", 40, [40]),
        ("per_page exceeds the 40 rows of this account", 20, [40, 1, 50, 25, 20]),
        ("Bad Request", 20, [1, 50, 25, 20]),
        ("no message", 1, [1, 50, 25, 20, 10, 5, 2, 1]),
        ("Invalid request parameters", 50, [1, 50]),
        ("page size too large", 7, [1, 50, 25, 20, 10, 5]),
        # A page of one row is refused too: the refusal is about something else, and costs one request.
        ("Invalid request parameters", 0, [1]),
        ("Bad Request", 0, [1]),
        ("Validation failed: app is suspended", 0, [1]),
        ("The query exceeds your plan", 0, [1]),
        ("account 50 is closed", 0, []),
        ("cannot be read now", 0, []),
        ("Invalid format for Authorization header", 0, []),
        ("App not found or invalid", 0, []),
        ("This feature is not valid for your plan", 0, []),
        ("Too many livestreams", 0, []),
        ("Your account has no valid subscription", 0, []),
    ],
)
def test_smaller_pages_are_tried_by_the_reason_of_the_refusal(reason: str, most: int, sizes: list[int]) -> None:
    # Nearly every refusal in words cost eight requests more, each night.
    dialect, sent = ApiDialect(), []

    def send(size: str) -> str:
        sent.append(int(size))
        if int(size) > most:
            raise ApiRefusedError(f"GET /accounts/a/page/livestreams: 400: {reason}", status=400)
        return size

    key = DialectKey("aula", "list-livestreams", PAGE_SIZE)
    with suppress(ApiRefusedError):
        dialect.send_with_fallback(key, "100", send, smaller_page_sizes(send))
    assert sent == [100, *sizes]
    assert dialect.noted_value(key) == (f"{sizes[-1]}" if most else None)


def test_refused_old_days_do_not_change_the_form(simulator: Simulator, tmp_path: Path) -> None:
    # The service takes Unix seconds only, and answers what it cannot read with a range of its own: believed as ISO 8601,
    # each old day had the figures of yesterday.
    first = LAST - timedelta(days=9)

    def rule(path: str, params: Query) -> tuple[int, object] | None:
        if "/analytics/livestreams/" not in path:
            return None
        if not params["start_time"].isdecimal():
            data = {"count": 7, "total_ingest_seconds": 777, "total_viewer_seconds": 7777}
            return 200, {"success": True, "data": [data] if path.endswith("daywise") else data}
        is_old = int(params["start_time"]) < _unix(LAST - timedelta(days=3))
        return refusal(400, "cannot request data older than 259200s") if is_old else None

    with intercept(simulator, rule) as served:
        settings = settings_at(served, tmp_path / "home")
        for night in ("nothing is known", "the form is known"):
            _load_in_spite_of_errors(settings, (first, first + timedelta(days=1)))
            assert [target for target in served.targets if "T00" in target] == [], night
            figures = "SELECT count(*) FROM raw.livestream_analytics WHERE payload LIKE '%777%'"
            with open_warehouse(settings).open_raw() as connection:
                assert connection.execute(figures).fetchall() == [(0,)], night
            run_pipeline(settings, DAY)
        assert [target for target in served.targets if "T00" in target] == []
        assert dialect_of(settings)["get-overall-analytics", "time_form"] == "unix_seconds"


@pytest.mark.long
def test_an_iso_only_service_is_detected_by_old_days_too(simulator: Simulator, tmp_path: Path) -> None:
    days = (LAST - timedelta(days=5), LAST - timedelta(days=4))
    with intercept(simulator, refuse_unix_times) as served:
        settings = settings_at(served, tmp_path / "home")
        run_pipeline(settings, days)
        assert_matches_world(settings, simulator.world, days)
        assert len(served.refused) == 3, "the newest day, a recent one, and the range of the other operation"


@pytest.mark.long
def test_notes_about_one_service_do_not_apply_to_another(simulator: Simulator, tmp_path: Path) -> None:
    with (
        intercept(simulator, refuse_unix_times, refuse_livestream_daywise) as older,
        intercept(simulator, refuse_iso_times) as newer,
    ):
        run_pipeline(settings_at(older, tmp_path / "home"), DAY)
        settings = settings_at(newer, tmp_path / "home")
        run_pipeline(settings, DAY)
        assert newer.refused == []
        kept: list[tuple[Any, ...]] = query(settings, "SELECT DISTINCT base_url FROM ops.api_dialect ORDER BY ALL")
        assert {address for (address,) in kept} == {older.base_url, newer.base_url}


@pytest.mark.parametrize("total", ["page", 200])
def test_counts_of_the_page_or_up_to_a_cap_lose_no_livestream(
    total: str | int, simulator: Simulator, tmp_path: Path
) -> None:
    # 100 of 250 livestreams were loaded, and 200 of 250, exit 0.
    def rule(path: str, params: Query) -> tuple[int, object] | None:
        if not path.endswith("/livestreams"):
            return None
        page, size = int(params["page_no"]), int(params["per_page"])
        records = [{"id": f"l{number}"} for number in range(250)[(page - 1) * size : page * size]]
        count = len(records) if total == "page" else total
        return 200, {"success": True, "data": records, "paging": {"total_count": count}}

    with intercept(simulator, rule) as served:
        settings = settings_at(served, tmp_path / "home")
        with open_run(settings, run_id="first", full=False, allow_shrink=False, backfill=None) as run:
            extract_stream(run, stream_of(LIVESTREAMS), DAY)
            load_livestreams(run)
            with run.warehouse.open_working() as connection:
                assert connection.execute("SELECT count(*) FROM core.livestreams").fetchall() == [(250,)]


# --- counts of sessions: livestreams/daywise ------------------------------------------------------------------------


def counts_of(settings: Settings) -> dict[date, int | None]:
    return dict(query(settings, "SELECT day, session_count FROM core.livestream_analytics_daily ORDER BY day"))


def with_data(entries: list[dict[str, Any]]) -> Rule:
    """Answer *livestreams/daywise* with these."""
    return lambda path, _: (200, {"success": True, "data": entries}) if path.endswith("livestreams/daywise") else None


def test_sessions_are_counted_where_the_api_counts_them(simulator: Simulator, tmp_path: Path) -> None:
    with intercept(simulator) as served:
        settings = settings_at(served, tmp_path / "home")
        run_pipeline(settings, WEEK)
        truth = simulator.world.expected_rows("aula", *WEEK).session_counts
        assert counts_of(settings) == {day: sessions for (_, day), sessions in truth.items()}
        sent = [target for target in served.targets if "livestreams/daywise" in target]
        assert len(sent) == 1, "one request for a range"


@pytest.mark.parametrize("status", long_except([404, 405, 410, 501], 404))
def test_a_missing_operation_is_requested_again_after_a_week(status: int, simulator: Simulator, tmp_path: Path) -> None:
    with intercept(simulator, refuse_path("/analytics/livestreams/daywise", status, "Route not found")) as served:
        settings = settings_at(served, tmp_path / "home")
        run = run_pipeline(settings, (LAST - timedelta(days=34), LAST))
        assert run.failures == []
        assert len(served.refused) == 1, "not once for each month"
        assert set(counts_of(settings).values()) == {None}
        assert_matches_world(settings, simulator.world, WEEK)
        served.rules.clear()
        run_pipeline(settings, DAY, run_id="the next night")
        assert set(counts_of(settings).values()) == {None}
        with open_warehouse(settings).open_working() as connection:
            connection.execute("UPDATE ops.api_dialect SET noted_at = noted_at - INTERVAL 7 DAY WHERE value = 'no'")
        run_pipeline(settings, DAY, run_id="a week later")
        assert counts_of(settings)[LAST] == simulator.world.expected_rows("aula", *DAY).session_counts["aula", LAST]
        assert dialect_of(settings)["get-livestream-daywise-analytics", "offered"] == "yes"


@pytest.mark.parametrize(
    ("entries", "counted"),
    [
        pytest.param([], 0, marks=pytest.mark.long),
        pytest.param(
            [{"count": 0, "date": None, "total_ingest_seconds": 0, "total_viewer_seconds": 0}],
            0,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": 0, "date": None, "total_ingest_seconds": None, "total_viewer_seconds": None}],
            0,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": 4, "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": "4", "date": f"{LAST}T00:00:00.000Z", "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        pytest.param(
            2 * [{"count": 4, "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        pytest.param(
            [{"count": 4, "date": None, "total_ingest_seconds": 5, "total_viewer_seconds": 1}],
            4,
            marks=pytest.mark.long,
        ),
        ([{"count": "x", "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1}], None),
    ],
)
def test_forms_of_a_session_count(
    entries: list[dict[str, Any]], counted: int | None, simulator: Simulator, tmp_path: Path
) -> None:
    with intercept(simulator, with_data(entries)) as served:
        settings = settings_at(served, tmp_path / "home")
        assert run_pipeline(settings, DAY).failures == []
        assert counts_of(settings) == {LAST: counted}
        aside = query(settings, "SELECT field, record_id FROM ops.quarantine WHERE ends_with(record_id, 'daywise')")
        assert aside == ([] if counted is not None else [("count", f"{LAST} livestreams/daywise")])
        unbalanced = "rows_received <> rows_landed + rows_quarantined + rows_duplicate"
        assert query(settings, f"FROM ops.loads WHERE {unbalanced}") == []


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (with_data([{"count": n, "date": f"{LAST}", "total_ingest_seconds": n} for n in (1, 2)]), "different figures"),
        pytest.param(
            with_data([{"count": 1, "date": "2020-01-01", "total_ingest_seconds": 1}]),
            "with other days only",
            marks=pytest.mark.long,
        ),
        pytest.param(with_data([{"other": 1}]), "without any of its figures", marks=pytest.mark.long),
        (lambda path, _: refusal(500, "internal") if path.endswith("livestreams/daywise") else None, "500"),
        pytest.param(
            lambda path, _: refusal(403, "not for you") if path.endswith("livestreams/daywise") else None,
            "not for you",
            marks=pytest.mark.long,
        ),
    ],
)
def test_session_counts_that_fail_are_unknown_and_affect_nothing_else(
    rule: Rule, message: str, simulator: Simulator, tmp_path: Path
) -> None:
    with intercept(simulator, rule) as served:
        settings = settings_at(served, tmp_path / "home")
        assert run_pipeline(settings, DAY).failures == []
        assert counts_of(settings) == {LAST: None}
        [(note,)] = query(settings, "SELECT note FROM ops.loads WHERE table_name = 'raw.livestream_analytics_daywise'")
        assert message in note
        assert_matches_world(settings, simulator.world, DAY)


def test_an_entry_without_a_day_leaves_the_other_days_unknown(simulator: Simulator, tmp_path: Path) -> None:
    entries: list[dict[str, Any]] = [
        {"count": 4, "date": f"{LAST}", "total_ingest_seconds": 5, "total_viewer_seconds": 1},
        {"count": 2, "date": None, "total_ingest_seconds": 5, "total_viewer_seconds": 1},
    ]
    with intercept(simulator, with_data(entries)) as served:
        settings = settings_at(served, tmp_path / "home")
        run_pipeline(settings, (LAST - timedelta(days=1), LAST))
        assert counts_of(settings) == {LAST - timedelta(days=1): None, LAST: 4}
        aside = query(settings, "SELECT day, field FROM ops.quarantine WHERE ends_with(record_id, 'daywise')")
        assert aside == [(None, "day")]


def test_a_session_without_figures_is_found_by_count_though_updated_at_did_not_move(tmp_path: Path) -> None:
    # Once a documented limitation.
    world = small_world(apps=("aula",), livestreams=3, sessions=12)
    with Simulator(world) as simulated, intercept(simulated) as served:
        settings = settings_at(served, tmp_path / "home", LIVEHOUSE_AUDIT_LIVESTREAMS="0")
        run_pipeline(settings, WEEK, run_id="before")
        quiet = next(one for one in world.apps["aula"].livestreams if one.sessions and one.open_session is None)
        updated_ms = quiet.updated_ms
        world.add_session(
            "aula",
            quiet.id,
            created_at=datetime(LAST.year, LAST.month, LAST.day, 1, tzinfo=UTC),
            ingest_seconds=0,
            viewer_seconds=0,
        )
        quiet.updated_ms = updated_ms
        run_pipeline(settings, DAY, run_id="night")
        assert_matches_world(settings, world, WEEK)
        served.targets.clear()
        run_pipeline(settings, DAY, run_id="night after")
        assert not [target for target in served.targets if f"/livestreams/{quiet.id}" in target]

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
    refuse_unix_times,
)
from tests.parameters import long_except
from tests.pipeline_runner import LAST, assert_matches_world, query, run_without_marts, settings_for, small_world

DAY = (LAST, LAST)
WEEK = (LAST - timedelta(days=6), LAST)


def simulate_both_forms() -> Simulator:
    """Return a simulator that takes both forms of times; the proxy in front of it accepts less."""
    dialect = replace(TODAY, times="both")
    return Simulator(small_world(apps=("aula",), livestreams=12, sessions=60), dialect=dialect)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with simulate_both_forms() as served:
        yield served


def settings_at(served: InterceptingProxy, home: Path, **others: str) -> Settings:
    return settings_for(served.simulator, home, CLOUDFLARE_BASE_URL=served.base_url, **others)


def dialect_of(settings: Settings) -> dict[tuple[str, str], str]:
    rows = query(
        settings, "SELECT operation, setting, value FROM ops.api_dialect WHERE base_url = ?", settings.base_url
    )
    return {(operation, setting): value for operation, setting, value in rows}


@pytest.mark.long
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
        run_without_marts(settings, WEEK, run_id="first")
        assert len(served.refused) <= refused_at_first
        assert_matches_world(settings, simulator.world, WEEK)
        assert dialect_of(settings)["get-overall-analytics", "time_form"] == form
        served.refused.clear()
        run_without_marts(settings, WEEK, run_id="second")
        assert served.refused == [], "the second night sends no refused request"


@pytest.mark.long
def test_an_upgraded_service_is_detected(simulator: Simulator, tmp_path: Path) -> None:
    with intercept(simulator, refuse_unix_times) as served:
        settings = settings_at(served, tmp_path / "home")
        run_without_marts(settings, DAY)
        served.rules = [refuse_iso_times]
        run_without_marts(settings, DAY)
        assert dialect_of(settings)["get-overall-analytics", "time_form"] == "unix_seconds"
        served.refused.clear()
        run_without_marts(settings, DAY)
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
        run_without_marts(settings, DAY)
        before = dialect_of(settings)
        assert before["get-overall-analytics", "time_form"] == "unix_seconds"
        _load_in_spite_of_errors(settings, (LAST - timedelta(days=9), LAST - timedelta(days=5)))
        assert {target.count("T00") for target in served.refused} <= {0, 1}
        run_without_marts(settings, DAY)
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
        run_without_marts(settings, days, full=True)
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


@pytest.mark.long
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
        run_without_marts(settings, DAY)
        assert_matches_world(settings, simulator.world, DAY)
        accepted = dialect_of(settings)
        for operation in ("list-livestreams", "get-livestream"):
            size = int(accepted[operation, "page_size"])
            assert size <= most
            assert size == most or "{most}" not in message, "a maximum that is named is used"
        assert len(served.refused) <= 2 * 7
        served.refused.clear()
        run_without_marts(settings, DAY, full=True)
        assert served.refused == []
        assert_matches_world(settings, simulator.world, DAY)


@pytest.mark.long
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
            run_without_marts(settings_at(served, tmp_path / "home"), DAY)
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


@pytest.mark.long
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
            run_without_marts(settings, DAY)
        assert [target for target in served.targets if "T00" in target] == []
        assert dialect_of(settings)["get-overall-analytics", "time_form"] == "unix_seconds"


@pytest.mark.long
def test_an_iso_only_service_is_detected_by_old_days_too(simulator: Simulator, tmp_path: Path) -> None:
    days = (LAST - timedelta(days=5), LAST - timedelta(days=4))
    with intercept(simulator, refuse_unix_times) as served:
        settings = settings_at(served, tmp_path / "home")
        run_without_marts(settings, days)
        assert_matches_world(settings, simulator.world, days)
        assert len(served.refused) == 3, "the newest day, a recent one, and the range of the other operation"


@pytest.mark.long
def test_notes_about_one_service_do_not_apply_to_another(simulator: Simulator, tmp_path: Path) -> None:
    with (
        intercept(simulator, refuse_unix_times, refuse_livestream_daywise) as older,
        intercept(simulator, refuse_iso_times) as newer,
    ):
        run_without_marts(settings_at(older, tmp_path / "home"), DAY)
        settings = settings_at(newer, tmp_path / "home")
        run_without_marts(settings, DAY)
        assert newer.refused == []
        kept: list[tuple[Any, ...]] = query(settings, "SELECT DISTINCT base_url FROM ops.api_dialect ORDER BY ALL")
        assert {address for (address,) in kept} == {older.base_url, newer.base_url}


@pytest.mark.long
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

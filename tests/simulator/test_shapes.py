"""Every known response shape and every value format has the same content."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipelines.simulator.records import to_ms
from pipelines.simulator.response_shapes import ResponseShapes, TimestampForm, timestamp
from pipelines.simulator.value_styles import (
    Json,
    ValueStyle,
    render_count,
    render_flag,
    render_measure,
    render_null,
    render_text,
)
from tests.parameters import long_except
from tests.simulator.conftest import APP, NOW, Client, Serve, small_world

pytestmark = pytest.mark.long  # by default, the tests that use the simulator prove what they need of it

VARIANTS = list(ResponseShapes.all_variants())
DAY = {"start_time": "2025-11-11T00:00:00.000Z", "end_time": "2025-11-11T23:59:59.999Z"}


def busiest(client: Client) -> str:
    return max(client.world.apps[APP].livestreams, key=lambda row: len(row.sessions)).id


def on_air(client: Client) -> str:
    return next(row.id for row in client.world.apps[APP].livestreams if row.status == "LIVE")


def test_variants_differ_from_the_default_in_one_field() -> None:
    assert len(set(VARIANTS)) == len(VARIANTS) == 1 + 3 + 2 + 1 + 1 + 1 + 1 + 1 + 1 + 4 + 1 + 4
    assert str(VARIANTS[0]) == "captured"
    assert str(VARIANTS[1]) == "livestreams=document"
    with pytest.raises(ValueError, match="takes number, text, not 'roman'"):
        ResponseShapes(paging="roman")  # type: ignore[arg-type]  # must be refused


def rows_and_total(reply: dict[str, Any], shape: str) -> tuple[list[dict[str, Any]], int | None]:
    """Return rows and total of a response in this shape."""
    data = reply["data"]
    if shape == "array":
        return data, int(reply["paging"]["total_count"])
    if shape == "wrapped":
        return data["livestreams"], int(data["paging"]["total_count"])
    if shape == "per_row":
        return data, int(data[0]["paging"]["total_count"]) if data else None
    return [data] if "id" in data else [], int(data["paging"]["total_count"])


@pytest.mark.parametrize("shapes", long_except(VARIANTS, *VARIANTS[::4]), ids=str)
def test_list_is_complete_in_every_shape(serve: Serve, shapes: ResponseShapes) -> None:
    client = serve(shapes=shapes)
    ids: list[str] = []
    total = None
    for page in range(1, 99):
        rows, counted = rows_and_total(client.json("/livestreams", page_no=page), shapes.livestreams)
        if not rows:
            break
        total = counted
        ids += [row["id"] for row in rows]
    assert set(ids) == set(client.world.apps[APP].by_id)
    assert len(ids) == total


@pytest.mark.parametrize("shape", ["captured", "document", "paging_inside"])
def test_sessions_are_complete_in_every_shape(serve: Serve, shape: Any) -> None:
    client = serve(shapes=ResponseShapes(detail=shape))
    livestream = client.world.apps[APP].by_id[busiest(client)]

    def pages() -> Iterator[list[str]]:
        for page in range(1, 99):
            reply = client.json(f"/livestreams/{livestream.id}", page_no=page)
            holder = reply if shape == "captured" else reply["data"]
            assert holder["paging"]["total_count"] == len(livestream.sessions)
            assert ("paging" in reply) is (shape == "captured")
            session = reply["data"].get("session")
            rows = ([session] if session else []) if shape == "document" else reply["data"]["sessions"]
            if not rows:
                return
            yield [row["id"] for row in rows]

    assert [each for page in pages() for each in page] == [session.id for session in livestream.sessions[::-1]]


def test_default_shapes_match_captured_bodies(client: Client) -> None:
    reply = client.json("/livestreams", per_page=2)
    assert set(reply) == {"success", "data", "paging"}
    assert set(reply["data"][0]) == {
        "id",
        "name",
        "meeting_id",
        "status",
        "disabled",
        "ingest_server",
        "stream_key",
        "playback_url",
        "created_at",
        "updated_at",
    }
    detail = client.json(f"/livestreams/{on_air(client)}")
    assert detail["data"]["livestream"]["stream_key"] in client.world.stream_keys()
    live = detail["data"]["sessions"][0]
    assert live["stopped_time"] in {None, "", "null"}
    overall = client.json("/analytics/livestreams/overall", **DAY)["data"]
    assert set(overall) == {"count", "total_ingest_seconds", "total_viewer_seconds"}
    stats = client.json("/analytics/daywise", start_date="2025-11-01", end_date="2025-11-09")["data"]["session_stats"]
    assert all(row["day"].endswith("T00:00:00.000Z") for row in stats["day_stats"])
    assert "invoked_time" in client.json(f"/livestreams/sessions/{live['id']}")["data"]


def test_shapes_change_single_fields(serve: Serve) -> None:
    world = small_world(values="numbers")
    shapes = ResponseShapes(
        overall="array",
        day="date",
        idle_days="zeros",
        disabled="text",
        active_seconds="text",
        session_invoked="absent",
        paging="text",
    )
    client = serve(world, shapes)
    (overall,) = client.json("/analytics/livestreams/overall", **DAY)["data"]
    assert overall["date"] == "2025-11-11T00:00:00.000Z"
    two_days = {**DAY, "end_time": "2025-11-13T00:00:00Z"}
    assert len(client.json("/analytics/livestreams/overall", **two_days)["data"]) == 2
    stats = client.json("/analytics/daywise", start_date="2025-10-01", end_date="2025-10-31")["data"]
    assert [row["day"] for row in stats["recording_stats"]["day_stats"]][-1] == "2025-10-31"
    assert len(stats["recording_stats"]["day_stats"]) == 31
    assert {row["disabled"] for row in client.json("/livestreams", per_page=100)["data"]} >= {"enabled"}
    active = client.json(f"/livestreams/{on_air(client)}/active-livestream-session")["data"]["session"]
    assert isinstance(active["ingest_seconds"], str)
    assert "invoked_time" not in client.json(f"/livestreams/sessions/{active['id']}")["data"]
    assert client.json("/livestreams")["paging"]["total_count"] == "45"


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("z", "2023-07-15T11:48:34.753Z"),
        ("offset", "2023-07-15T17:18:34.753+05:30"),
        ("none", "2023-07-15T11:48:34.753"),
        ("seconds", 1689421714.753),
        ("milliseconds", 1689421714753),
    ],
)
def test_timestamp_formats(form: TimestampForm, expected: object) -> None:
    moment = datetime(2023, 7, 15, 11, 48, 34, 753_000, tzinfo=UTC)
    assert timestamp(to_ms(moment), form) == expected


def test_unix_seconds_are_exact_to_the_millisecond() -> None:
    for extra in range(1_000):
        ms = to_ms(NOW + timedelta(milliseconds=extra))
        assert round(float(timestamp(ms, "seconds")) * 1000) == ms


@pytest.mark.parametrize("style", ["mixed", "numbers", "text"])
@pytest.mark.parametrize("value", [0.0, 531.0, 1000.0, 116.11599994199997, 365.66666666666697, 1e-7, 12345678901.5])
def test_every_number_format_is_exact(style: ValueStyle, value: float) -> None:
    forms = [render_measure(value, f"key-{number}", style) for number in range(200)]
    assert {float(form) for form in forms if isinstance(form, str | int | float)} == {value}
    kinds = {type(form) for form in forms}
    assert (str in kinds) is (style != "numbers")
    assert bool(kinds - {str}) is (style != "text")


def test_all_value_formats_occur_and_are_stable() -> None:
    forms = [render_measure(1000.0, f"key-{number}", "mixed") for number in range(200)]
    assert {1000, "1000", " 1000.0 ", "1e3"} == set(forms)
    assert forms == [render_measure(1000.0, f"key-{number}", "mixed") for number in range(200)]
    nothing: set[Json] = {render_null(f"key-{number}", "mixed") for number in range(200)}  # type: ignore[type-arg, unused-ignore]  # Json has lists
    assert nothing == {None, "", "null"}
    assert {render_null(f"key-{number}", "numbers") for number in range(200)} == {None}
    words = {str(render_flag(value=True, key=f"key-{number}", style="mixed")) for number in range(400)}
    assert words == {"True", "true", "1", "yes", "Disabled"}
    assert {str(render_count(4, f"key-{number}", "mixed")) for number in range(200)} == {"4", "4.0"}
    assert {render_text("2024", f"key-{number}", "mixed") for number in range(50)} == {"2024", 2024}
    assert render_text("007", "key-1", "mixed") == "007"


def moment(value: Any) -> datetime | None:
    """Read a timestamp as the contract says."""
    if value in {None, "", "null"}:
        return None
    if isinstance(value, int | float):
        ms = value if value > 10**11 else value * 1000
        return datetime(1970, 1, 1) + timedelta(milliseconds=round(ms))
    read = datetime.fromisoformat(value)
    return (read.astimezone(UTC) if read.tzinfo else read).replace(tzinfo=None)


@pytest.mark.parametrize("form", ["z", "offset", "none", "seconds", "milliseconds"])
def test_rendered_records_parse_back_to_the_expected_rows(serve: Serve, form: TimestampForm) -> None:
    client = serve(shapes=ResponseShapes(timestamps=form))
    truth = client.world.expected_rows(APP, NOW.date() - timedelta(days=90), NOW.date())
    columns = {"created_at": "created_at", "invoked_time": "invoked_at", "started_time": "started_at"}
    columns |= {"stopped_time": "stopped_at", "updated_at": "updated_at"}
    seen = set()
    for livestream_id in client.world.apps[APP].by_id:
        for sent in client.json(f"/livestreams/{livestream_id}", per_page=100)["data"]["sessions"]:
            if ("core.livestream_sessions", sent["id"]) in truth.quarantined:
                continue
            row = truth.livestream_sessions[APP, sent["id"]]
            seen.add(sent["id"])
            assert {column: moment(sent[field]) for field, column in columns.items()} == {
                column: row[column] for column in columns.values()
            }
            for name in ("ingest_seconds", "viewer_seconds"):
                assert (None if sent[name] in {None, "", "null"} else float(sent[name])) == row[name]
            assert sent["err_message"] == row["err_message"]
    assert seen == {session_id for _, session_id in truth.livestream_sessions}

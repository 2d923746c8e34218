"""How long a request waits: as the reply demands, and never less than its own growing pause."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from pipelines.errors import ApiRefusedError, TransientApiError
from tests.extract.conftest import Canned, CannedServer, Clock, Connect, ok
from tests.extract.test_client import HTML


def retry_after(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}


def test_retry_after_in_seconds(server: CannedServer, connect: Connect, clock: Clock) -> None:
    server.script = [Canned(429, b"", retry_after(7)), Canned(429, b"{}", retry_after(300))]
    connect(server.url).get("/x", {})
    assert sum(clock.slept) == pytest.approx(307)
    assert len(server.received) == 3


def test_retry_after_as_a_date(server: CannedServer, connect: Connect, clock: Clock) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    server.script = [Canned(429, b"", {"Retry-After": until})]
    connect(server.url).get("/x", {})
    assert 100 < sum(clock.slept) <= 120


@pytest.mark.parametrize(
    "headers",
    [
        {},
        *({"Retry-After": value} for value in ("soon", "0", "0.1", "-5", "1e308", "9" * 5000, "\xff")),
        {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"},
        {"Retry-After": "1445412480"},
    ],
)
def test_pauses_grow_without_a_plausible_retry_after(
    headers: dict[str, str], server: CannedServer, connect: Connect, clock: Clock
) -> None:
    server.script = [Canned(429, b"", headers)] * 4
    connect(server.url, retry_pause_seconds=0.5).get("/x", {})
    assert clock.slept == pytest.approx([1, 2, 4, 8])


def test_ratelimit_reset_without_retry_after(server: CannedServer, connect: Connect, clock: Clock) -> None:
    server.script = [Canned(429, b"", {"Ratelimit": '"default";r=0;t=33'})]
    connect(server.url).get("/x", {})
    assert sum(clock.slept) == pytest.approx(33)


def test_all_threads_wait_for_a_rate_limit(server: CannedServer, connect: Connect, clock: Clock) -> None:
    server.script = [Canned(429, b"", retry_after(60))]
    client = connect(server.url)
    client.get("/x", {})
    before = clock.now
    client.get("/y", {})
    assert clock.now == before  # the first request waited for all


def test_a_lasting_rate_limit_is_an_error_after_nine_retries(
    server: CannedServer, connect: Connect, clock: Clock
) -> None:
    # Seen: 70 requests, because each of seven retries waited ten times.
    server.otherwise = Canned(429, b'{"errors":[{"message":"slow down"}]}', retry_after(300))
    with pytest.raises(TransientApiError, match="429: slow down"):
        connect(server.url).get("/x", {})
    assert len(server.received) == 10


def test_a_wait_that_is_too_long_is_an_error_without_retry(
    server: CannedServer, connect: Connect, clock: Clock
) -> None:
    # Seen: asked to wait an hour, the client sent six requests within a few seconds.
    server.otherwise = Canned(429, b"", retry_after(3600))
    with pytest.raises(TransientApiError, match="429"):
        connect(server.url).get("/x", {})
    assert len(server.received) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520, 530])
def test_retry_after_of_any_transient_failure(
    status: int, server: CannedServer, connect: Connect, clock: Clock
) -> None:
    """Seen: 45 seconds of maintenance failed a night."""
    server.script = [Canned(status, b"Service Unavailable", retry_after(45)), Canned(status, b"{}", retry_after(20))]
    shown: list[str] = []
    client = connect(server.url, notify=shown.append)
    client.get("/x", {})
    assert sum(clock.slept) == pytest.approx(65)
    assert [line.partition(", until")[0] for line in shown] == ["waiting 45 s", "waiting 20 s"]
    assert f"GET /x: {status}: Service Unavailable; retry 1 of 6" in shown[0]


def test_a_long_maintenance_is_an_error_without_retry(server: CannedServer, connect: Connect, clock: Clock) -> None:
    server.otherwise = Canned(503, b"", retry_after(7200))
    with pytest.raises(TransientApiError, match="503: no message; it asks to wait 7,200 s, and the limit is 900 s"):
        connect(server.url).get("/x", {})
    assert len(server.received) == 1


def test_retries_outlast_8_seconds_of_429_with_retry_after_0(
    server: CannedServer, connect: Connect, clock: Clock
) -> None:
    """Seen: ten tries in 2.3 seconds, and a failed night."""
    server.otherwise = Canned(429, b"", retry_after(0))
    began, sleep = clock.now, clock.sleep

    def sleep_then_recover(seconds: float) -> None:
        sleep(seconds)
        if clock.now - began > 8:
            server.otherwise = ok([1])

    clock.sleep = sleep_then_recover  # type: ignore[method-assign]  # the clock of the test
    assert connect(server.url, retry_pause_seconds=0.5).get("/x", {})["data"] == [1]


def test_a_reset_in_unix_time_is_waited_for_and_reported(server: CannedServer, connect: Connect, clock: Clock) -> None:
    reset = int(datetime.now(UTC).timestamp()) + 45
    server.script = [Canned(headers={"Ratelimit": f"limit=100, remaining=0, reset={reset}"})]
    shown: list[str] = []
    client = connect(server.url, notify=shown.append)
    client.get("/x", {})
    client.get("/y", {})
    assert 40 < sum(clock.slept) <= 46
    assert len(shown) == 1
    assert "the API's rate limit is used up" in shown[0]


def test_a_reset_in_the_far_future_is_waited_for_one_window(
    server: CannedServer, connect: Connect, clock: Clock
) -> None:
    server.script = [Canned(headers={"Ratelimit": "limit=100, remaining=0, reset=4000000000"})]
    client = connect(server.url)
    client.get("/x", {})
    client.get("/y", {})
    assert sum(clock.slept) == pytest.approx(300)


def test_retries_are_reported_from_the_second_on(server: CannedServer, connect: Connect) -> None:
    server.script = [Canned(502, HTML)] * 4
    shown: list[str] = []
    connect(server.url, notify=shown.append).get("/x", {})
    assert shown == ["GET /x: 502: 502: Bad gateway; retry 2 of 6 in 0 s"]  # others within a second are not


@pytest.mark.parametrize(
    "headers",
    [
        {"Ratelimit": f"r={'9' * 5000};t=30"},
        {"Ratelimit": f"r=0;t={'9' * 5000}"},
        {"Location": "https://xn--0000000000/"},
        {"Location": "\xff\xfe"},
        {"Retry-After": "9" * 5000},
        {"Date": "9" * 5000},
        {"Content-Type": "text/html; charset=\xff"},
        {"Set-Cookie": "\xff=\x80; domain=.; expires=never"},
        {"X-Anything": "".join(map(chr, [*range(0x21, 0x7F), *range(0x80, 0x100)]))},
    ],
)
@pytest.mark.parametrize("status", [200, 302, 429])
def test_no_header_fails_other_requests(
    status: int, headers: dict[str, str], server: CannedServer, connect: Connect, clock: Clock
) -> None:
    """Seen: a header with 5,000 digits ended the run of every app."""
    server.script = [Canned(status, headers=headers)] * (9 if status == 429 else 1)
    client = connect(server.url)
    if status == 302:
        with pytest.raises(ApiRefusedError):
            client.get("/x", {})
    else:
        client.get("/x", {})
    assert client.get("/x", {})["data"] == []


def test_rate_limits_between_other_failures(server: CannedServer, connect: Connect, clock: Clock) -> None:
    server.script = [
        Canned(500),
        Canned(429, b"", retry_after(5)),
        Canned(502),
        Canned(429, b"", retry_after(5)),
        ok([2]),
    ]
    client = connect(server.url)
    assert client.get("/x", {})["data"] == [2]
    assert (client.sent, client.retried) == (5, 4)

"""One request over real HTTP: retries, redaction, limits of bodies."""

import gzip
import json
from typing import Any

import pytest

from pipelines.errors import ApiError, ApiRefusedError, NotFoundError, TransientApiError
from pipelines.extract import client as client_module
from pipelines.extract.retry_policy import MAX_RETRIES, RetryPolicy
from tests.extract.conftest import TOKEN, Canned, CannedServer, Clock, Connect, ok
from tests.parameters import long_except

HTML = b"<html><head><title>502: Bad gateway</title></head></html>"
KEY = "live_0123456789abcdef"

TRANSIENT = [
    pytest.param(Canned(500, b'{"success":false,"errors":[{"message":"x"}]}'), id="500 JSON"),
    *[pytest.param(Canned(status, HTML), id=f"{status} HTML") for status in (502, 504, 520, 521, 522, 523, 524)],
    pytest.param(Canned(503, b"{}", {"Retry-After": "0"}), id="503 with Retry-After"),
    pytest.param(Canned(408, b""), id="408"),
    pytest.param(Canned(200, HTML), id="200 with HTML"),
    pytest.param(Canned(200, b'{"success":false}'), id="200 without success"),
    pytest.param(Canned(200, b'{"success":true,"data":['), id="truncated JSON"),
    pytest.param(Canned(200, b'{"success":true', promised=500), id="truncated body"),
    pytest.param(Canned(200, b"", promised=500), id="connection lost before the body"),
    pytest.param(Canned(200, b'{"name":"\xff\xfe"}'), id="invalid UTF-8"),
    pytest.param(Canned(200, b"not gzip", {"Content-Encoding": "gzip"}), id="not the declared encoding"),
    pytest.param(Canned(200, b"[" * 100_000), id="nested too deeply"),
]


@pytest.mark.parametrize(
    "reply", [*TRANSIENT, pytest.param(Canned(dropped=True), id="connection lost before the reply")]
)
def test_transient_failures_are_retried(reply: Canned, server: CannedServer, connect: Connect) -> None:
    server.script, server.otherwise = [reply] * 3, ok([1])
    client = connect(server.url)
    assert client.get("/x", {})["data"] == [1]
    assert (client.sent, client.retried) == (4, 3)
    assert len(server.received) == 4


@pytest.mark.parametrize("reply", TRANSIENT)
def test_a_failure_that_lasts_is_retried_six_times(reply: Canned, server: CannedServer, connect: Connect) -> None:
    server.otherwise = reply
    client = connect(server.url)
    with pytest.raises(TransientApiError, match=r"^GET /x: ") as raised:
        client.get("/x", {})
    assert len(server.received) == MAX_RETRIES + 1 == 7
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 407, 409, 410, 421, 422, 426, 451, 511])
@pytest.mark.parametrize("body", [b'{"errors":[{"message":"because"}]}', b'{"error":{"message":"because"}}'])
def test_a_refusal_is_never_retried(status: int, body: bytes, server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned(status, body)
    with pytest.raises(NotFoundError if status == 404 else ApiRefusedError, match=rf"^GET /x/y: {status}: because"):
        connect(server.url).get("/x/y", {"page_no": 1})
    assert len(server.received) == 1


def test_pauses_after_a_failure_grow_and_are_jittered() -> None:
    def pauses() -> list[float]:
        policy = RetryPolicy(2.0, is_patient=True, is_repeatable=True)
        return [pause for _ in range(8) if (pause := policy.next_pause(TransientApiError("502", status=502)))]

    runs = [pauses() for _ in range(5)]
    for run in runs:
        assert len(run) == MAX_RETRIES
        for retry, pause in enumerate(run):
            assert 2.0 * 2**retry <= pause <= 2.0 * (2**retry + 1)
    assert all(len(set(same_retry)) == len(runs) for same_retry in zip(*runs, strict=True))


@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 305, 307, 308])
def test_a_redirect_is_not_retried(status: int, server: CannedServer, connect: Connect) -> None:
    """Seen: sent again seven times."""
    server.otherwise = Canned(status, b"", {"Location": "https://xn--0000000000/"})
    with pytest.raises(ApiRefusedError, match=rf"GET /x: {status}: a redirect to xn--0000000000 is not followed"):
        connect(server.url).get("/x", {})
    assert len(server.received) == 1


def test_post_sends_a_body_only_where_there_is_one(server: CannedServer, connect: Connect) -> None:
    """A strict server answers 415 to a body of `stop`."""
    client = connect(server.url)
    server.otherwise = Canned(201, b'{"success":true,"data":{}}')
    client.post("/stop")
    client.post("/x", {"name": "a"})
    client.post("/x", {})
    sent = [(each.headers.get("Content-Length", "0"), each.headers.get("Content-Type")) for each in server.received]
    assert sent == [("0", None), ("13", "application/json"), ("2", "application/json")]


@pytest.mark.parametrize("reply", TRANSIENT)
def test_post_is_sent_once(reply: Canned, server: CannedServer, connect: Connect) -> None:
    server.otherwise = reply
    with pytest.raises(ApiError):
        connect(server.url).post("/x", {"name": "a"})
    assert [received.method for received in server.received] == ["POST"]


# --- secrets -------------------------------------------------------------------------------------------------


def test_the_token_is_sent_to_the_api_only(server: CannedServer, elsewhere: CannedServer, connect: Connect) -> None:
    for status in (301, 302, 303, 307, 308):
        server.script += [Canned(status, b"", {"Location": f"{elsewhere.url}/collect"})]
    client = connect(server.url)
    for _ in range(5):
        with pytest.raises(ApiRefusedError):
            client.get("/x", {})
    assert elsewhere.received == []
    assert {received.headers["Authorization"] for received in server.received} == {f"Bearer {TOKEN}"}
    assert not [received for received in server.received if TOKEN in received.target]


@pytest.mark.parametrize("cut", long_except([0, 250, 270, 290, 299], 0, 290))
@pytest.mark.parametrize("status", long_except([200, 400, 429, 500], 200, 400))
def test_no_error_quotes_a_secret_or_a_part_of_it(
    status: int, cut: int, server: CannedServer, connect: Connect, clock: Clock
) -> None:
    message = "x" * cut + TOKEN + KEY
    replies = [
        json.dumps({"success": False, "errors": [{"message": message}], "data": {"stream_key": KEY}}),
        json.dumps({"success": False, "data": {"stream_key": KEY}, "error": {"message": "y" * cut + KEY}}),
        f"<html><title>{'x' * cut}{TOKEN}</title></html>",
        "x" * (cut % 100) + TOKEN,
        f'{{"success":true,"data":[{{"stream_key":"{KEY}","name":"',
    ]
    for reply in replies:
        server.otherwise = Canned(status, reply.encode())
        with pytest.raises(ApiError) as raised:
            connect(server.url).get("/x", {})
        shown = f"{raised.value!r} {raised.value} {raised.value.args} {raised.value.__cause__}"
        assert TOKEN[:8] not in shown
        assert KEY[:8] not in shown


def test_stream_keys_are_removed_masked_or_shown(server: CannedServer, connect: Connect) -> None:
    server.otherwise = ok({"id": "a", "stream_key": KEY, "url": f"rtmps://x/{KEY}"})
    removed, masked, shown = (
        connect(server.url, stream_keys=how).get("/x", {})["data"] for how in ("remove", "mask", "show")
    )
    assert removed == {"id": "a", "url": "rtmps://x/[removed]"}
    assert masked == {"id": "a", "stream_key": "[removed]", "url": "rtmps://x/[removed]"}
    assert shown["stream_key"] == KEY


@pytest.mark.parametrize("how", ["remove", "mask", "show"])
def test_an_echoed_token_is_removed(how: str, server: CannedServer, connect: Connect) -> None:
    server.otherwise = ok([{"id": "a", "name": f"Bearer {TOKEN}", TOKEN: 1}])
    assert TOKEN not in json.dumps(connect(server.url, stream_keys=how).get("/x", {}))


def test_the_repr_of_a_client_hides_the_token(server: CannedServer, connect: Connect) -> None:
    assert TOKEN not in repr(connect(server.url))


# --- bodies --------------------------------------------------------------------------------------------------


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(client_module, "_MAX_BODY_BYTES", 1 << 20)
    return 1 << 20


def test_the_body_limit_is_8_mib() -> None:
    assert client_module._MAX_BODY_BYTES == 8 * 1024 * 1024  # noqa: SLF001 - the bound is a promise


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_body_above_the_limit_is_not_read(
    is_compressed: bool,  # noqa: FBT001 - a parameter of the test
    small_limit: int,
    server: CannedServer,
    connect: Connect,
) -> None:
    body = b'{"success":true,"data":[],"padding":"' + b"x" * small_limit + b'"}'
    headers = {"Content-Encoding": "gzip"} if is_compressed else {}
    server.otherwise = Canned(200, gzip.compress(body) if is_compressed else body, headers)
    with pytest.raises(TransientApiError, match="a body above 1 MiB is not read"):
        connect(server.url).get("/x", {})


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "deflate, gzip", "x-unknown"])
def test_an_unrequested_content_encoding_is_refused(encoding: str, server: CannedServer, connect: Connect) -> None:
    bomb = gzip.compress(gzip.compress(b"x" * 10_000_000))
    server.otherwise = Canned(200, bomb, {"Content-Encoding": encoding})
    with pytest.raises(TransientApiError, match=r"Content-Encoding .* is not supported"):
        connect(server.url).get("/x", {})
    assert server.received[0].headers["Accept-Encoding"] == "gzip, deflate"


def test_a_compressed_body_is_read(server: CannedServer, connect: Connect) -> None:
    compressed = gzip.compress(ok([1]).body)
    server.otherwise = Canned(200, compressed, {"Content-Encoding": "gzip"})
    assert connect(server.url).get("/x", {})["data"] == [1]


@pytest.mark.parametrize(
    "headers", [{"Content-Type": "application/octet-stream"}, {"Content-Type": "text/html; charset=latin-1"}, {}]
)
def test_the_content_type_is_ignored(headers: dict[str, str], server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned(200, '{"success":true,"data":"ü😀"}'.encode(), headers)
    assert connect(server.url).get("/x", {})["data"] == "ü😀"


def test_parameters_are_sent_and_encoded(server: CannedServer, connect: Connect) -> None:
    connect(server.url).get("/x", {"page_no": 2, "status": "a&b=c ü"})
    assert server.received[0].target in {
        "/client/v4/x?page_no=2&status=a%26b%3Dc%20%C3%BC",
        "/client/v4/x?page_no=2&status=a%26b%3Dc+%C3%BC",
    }


def test_a_malformed_record_does_not_affect_its_page(server: CannedServer, connect: Connect) -> None:
    server.otherwise = Canned(200, b'{"data":[{"n":NaN},{"n":1e999},{"n":' + b"9" * 5000 + b'},{"s":"\\ud83d"}]}')
    data: list[dict[str, Any]] = connect(server.url).get("/x", {})["data"]
    assert data == [{"n": "NaN"}, {"n": "1e999"}, {"n": "9" * 5000}, {"s": "\ufffd"}]

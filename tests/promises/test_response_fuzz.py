"""Arbitrary responses: each ends within its deadline and bounded memory, at most as the error of one request."""

import gzip
import json
import re
import socket
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import chain, product, repeat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipelines.errors import ApiError, ApiUnreachableError, LivehouseError
from pipelines.extract import budget, retry_policy
from pipelines.extract import client as client_module
from pipelines.extract.client import ApiClient
from pipelines.settings.settings import Settings
from pipelines.steps.process_memory import prepare_for_runs
from tests.extract.conftest import Clock
from tests.pipeline_runner import DAYS, query, run_pipeline
from tests.raw_server import raw_server

SECONDS = 1.0
EXTRA_SECONDS = 4.0
"""Added for a busy machine."""
MOST_MEMORY = 300 * 2**10
"""KiB more than before."""


BOMBS: dict[str, tuple[Iterable[bytes], ...]] = {
    "objects": ([b'{"success":true,"data":['], repeat(b"{}," * 2**10, 21 * 2**10), [b"{}]}"]),
    "keys": ([b'{"data":['], (b'{"stream_key":"live_%032d"},' % n for n in range(200_000)), [b"{}]}"]),
    "one text": ([b'{"success":true,"data":"'], repeat(b"x" * 2**16, 2**10), [b'"}']),
    "depth": (repeat(b"[" * 10_000, 500),),
    "digits": ([b'{"success":true,"data":'], repeat(b"9" * 10_000, 300), [b"}"]),
    "wide text": ([b'{"success":true,"data":"'], repeat("\N{GRINNING FACE}".encode(), 2_000_000), [b'"}']),
    "within": ([b'{"success":true,"data":['], repeat(b'{"a":[0]},', 45_000), [b"{}]}"]),
    "keys within": ([b'{"data":['], (b'{"stream_key":"samesame%d"},' % n for n in range(50_000)), [b"{}]}"]),
    "texts within": ([b'{"data":['], (b'"text-%06d \xe2\x82\xac",' % n for n in range(200_000)), [b"0]}"]),
}


@cache
def compressed_bomb(name: str) -> bytes:
    """Compress a bomb piece by piece: in one piece, it would count as memory of the test."""
    compressor = zlib.compressobj(wbits=31)
    return b"".join(compressor.compress(piece) for piece in chain(*BOMBS[name])) + compressor.flush()


header_text = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
numbers = st.sampled_from(["0", "-1", "1", "1e308", "nan", "9" * 5_000, "1795708800", "31536000", "0x10", ""])
headers = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["Retry-After", "Date", "Location", "Set-Cookie", "X-A", "cf-mitigated"]), header_text
        ),
        st.tuples(st.just("Retry-After"), numbers),
        st.tuples(
            st.sampled_from(["Ratelimit", "X-RateLimit"]), st.builds('"default";r={};t={}'.format, numbers, numbers)
        ),
        st.tuples(st.just("Ratelimit"), st.builds("limit=1, remaining={}, reset={}".format, numbers, numbers)),
        st.tuples(st.sampled_from(["RateLimit-Remaining", "RateLimit-Reset"]), numbers),
        st.sampled_from(
            [
                ("Location", "https://xn--0000000000/"),
                ("Content-Type", "application/problem+json; charset=\xff"),
                ("Transfer-Encoding", "gzip"),
                ("Connection", "upgrade"),
                ("Content-Length", "9" * 5_000),
                ("X-Long", "x" * 50_000),
            ]
        ),
    ),
    max_size=4,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["success", "data", "errors", "error_chain", "message", "detail", "stream_key", "id", "paging"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)
bodies = st.one_of(
    json_values.map(lambda value: json.dumps(value).encode()),
    json_values.map(lambda value: json.dumps({"success": True, "data": value}).encode()),
    st.binary(max_size=200),
    st.sampled_from(
        [
            b"",
            b"<html><head><title>Just a moment...</title></head></html>",
            b'{"success":true,"data":[' * 100,
            b'{"success":true,"data":"\\ud800"}',
            b'{"success":true,"data":"\xff"}',
        ]
    ),
)
packings: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "gzip, gzip": lambda body: gzip.compress(gzip.compress(body)),
    "br": bytes,
}


@dataclass(frozen=True)
class Sent:
    """One reply as it travels."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    packing: str
    packed_as: str
    framing: str
    interim: int
    cut: float
    slowly: str
    bomb: str = ""

    def __call__(self, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * self.interim)
        body = compressed_bomb(self.bomb) if self.bomb else packings[self.packed_as](self.body)
        if self.framing == "chunked":
            body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in _parts(body)) + b"0\r\n\r\n"
        head = f"HTTP/1.1 {self.status} Some Reason\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        packing = "gzip" if self.bomb else self.packing
        head += f"Content-Encoding: {packing}\r\n" if packing else ""
        head += {"length": f"Content-Length: {len(body)}\r\n", "chunked": "Transfer-Encoding: chunked\r\n"}.get(
            self.framing, "Connection: close\r\n"
        )
        everything = head.encode("latin-1") + b"\r\n" + body
        everything = everything[: max(1, int(len(everything) * self.cut))]
        slow_from = {"head": 0, "body": len(head) + 2}.get(self.slowly, len(everything))
        connection.sendall(everything[:slow_from])
        for at in range(slow_from, len(everything)):
            connection.sendall(everything[at : at + 1])
            time.sleep(0.02)


def _parts(body: bytes) -> list[bytes]:
    return [body[at : at + 10_000] for at in range(0, len(body), 10_000)]


plain_replies = st.builds(
    Sent,
    status=st.sampled_from([200, 200, 200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 407, 429, 500, 503, 599, 999]),
    headers=headers,
    body=bodies,
    packing=st.sampled_from(["", "", "", *packings]),
    packed_as=st.sampled_from(["", "", "", *packings]),
    framing=st.sampled_from(["length", "chunked", "close"]),
    interim=st.sampled_from([0, 0, 0, 1, 1_000]),
    cut=st.sampled_from([1.0, 1.0, 1.0, 0.9, 0.5, 0.1]),
    slowly=st.sampled_from(["", "", "", "", "head", "body"]),
)
bombs = st.builds(
    Sent,
    status=st.sampled_from([200, 400, 500]),
    headers=st.just([]),
    body=st.just(b""),
    packing=st.just(""),
    packed_as=st.just(""),
    framing=st.sampled_from(["length", "chunked"]),
    interim=st.just(0),
    cut=st.just(1.0),
    slowly=st.just(""),
    bomb=st.sampled_from(sorted(BOMBS)),
)
replies = plain_replies | bombs


@pytest.fixture
def short_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_REQUEST_SECONDS", SECONDS)
    monkeypatch.setattr(client_module, "_FIRST_ANSWER_SECONDS", SECONDS)
    monkeypatch.setattr(retry_policy, "MAX_RETRIES", 1)
    monkeypatch.setattr(budget, "time", Clock())  # nobody sleeps for as long as a header says


def reset_peak_memory() -> None:
    """Reset the peak memory of this process: earlier tests may have used more."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("only Linux can reset the peak")


def peak_memory() -> int:
    """Return the peak memory since the reset, in KiB."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1])


@pytest.mark.promise(6)
@pytest.mark.long
@pytest.mark.timeout(900)  # seconds of slow replies; on a busy machine, bombs take several each
@pytest.mark.usefixtures("short_deadlines")
def test_any_response_ends_within_time_and_memory_as_one_error() -> None:
    prepare_for_runs()
    reset_peak_memory()
    before = peak_memory()
    slowest = 0.0

    def exchange(reply: Sent) -> None:
        nonlocal slowest
        with raw_server(reply) as port:
            client = ApiClient(
                base_url=f"http://127.0.0.1:{port}",
                account_id="a",
                token="token-0123456789-abcdefghij",
                requests_per_second=0,
                concurrency=1,
                retry_pause_seconds=0.001,
                is_patient=False,
            )
            began = time.monotonic()
            try:
                value = client.get("/x", {})
                assert "token-0123456789" not in repr(value)
                message = ""
            except (ApiError, ApiUnreachableError) as error:
                message = str(error)
            assert "\n" not in message
            assert len(message) < 1_000
            seconds = (time.monotonic() - began) / client.sent
            client.close()
        slowest = max(slowest, seconds)
        assert seconds < SECONDS + EXTRA_SECONDS, f"{seconds:.1f} s"
        assert peak_memory() - before < MOST_MEMORY, f"{(peak_memory() - before) >> 10} MB"

    for bomb, framing in product(sorted(BOMBS), ("length", "chunked")):
        exchange(Sent(200, [], b"", "", "", framing, 0, 1.0, "", bomb))
    settings(
        max_examples=200,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )(given(plain_replies)(exchange))()
    assert slowest > SECONDS / 2, "some replies were slow"


def good_reply(path: str) -> bytes:
    """Return the response of a service with a single livestream."""
    data: object = {"count": 0, "total_ingest_seconds": 0, "total_viewer_seconds": 0}
    if re.search(r"/livestreams(\?|$)", path):
        data = [{"id": "one", "name": "x", "status": "IDLE", "updated_at": f"{DAYS[1]}T10:00:00Z"}]
    elif "/livestreams/" in path and "analytics" not in path:
        at = f"{DAYS[1]}T10:00:00Z"
        data = {
            "sessions": [{"id": "s", "created_at": at, "started_time": at, "stopped_time": at, "ingest_seconds": 0}]
        }
    elif "daywise" in path:
        empty: dict[str, object] = {"day_stats": []}
        data = [] if "livestreams/daywise" in path else {"session_stats": empty, "recording_stats": empty}
    return json.dumps({"success": True, "data": data, "paging": {"total_count": 1}}).encode()


@pytest.mark.promise(4)
@pytest.mark.long
@pytest.mark.usefixtures("short_deadlines")
@settings(
    max_examples=8, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)  # an example takes seconds: none is made simpler
@given(reply=replies)
def test_any_response_for_one_app_leaves_the_others_loaded(
    tmp_path_factory: pytest.TempPathFactory, reply: Sent
) -> None:
    def behave(connection: socket.socket, request: bytes) -> None:
        path = request.split(b" ")[1].decode()
        if "/kit/bad/" in path:
            reply(connection)
        else:
            body = good_reply(path)
            head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
            connection.sendall(head + body)

    home: Path = tmp_path_factory.mktemp("home")
    with raw_server(behave) as port:
        given = {
            "CLOUDFLARE_API_TOKEN": "token-0123456789-abcdefghij",
            "CLOUDFLARE_ACCOUNT_ID": "account",
            "REALTIMEKIT_APP_ID": "good,bad",
            "CLOUDFLARE_BASE_URL": f"http://127.0.0.1:{port}",
            "LIVEHOUSE_HOME": str(home),
            "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
            "LIVEHOUSE_RETRY_PAUSE_SECONDS": "0.001",
        }
        chosen = Settings(**given)  # type: ignore[arg-type]  # read by alias
        began = time.monotonic()
        day = DAYS[1] - timedelta(days=1)
        try:
            run_pipeline(chosen, (day, DAYS[1]))
        except LivehouseError as error:
            assert "good" not in str(error)  # noqa: PT017 - a fault of the bad app may end a run that has no more to do
        assert time.monotonic() - began < 240
    assert query(chosen, "SELECT session_id FROM core.livestream_sessions WHERE app_id = 'good'") == [("s",)]

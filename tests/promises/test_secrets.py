"""Promise 5: neither the token nor a stream key, in any file, on any stream, however a run fails."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pipelines.errors import LivehouseError
from pipelines.settings import Settings
from pipelines.simulator.faults import GROUPS, Faults
from pipelines.simulator.server import Simulator
from pipelines.simulator.wire import Blow
from tests.houses import DAYS, load, settings_for, variables
from tests.promises.attack import call_livehouse, livehouse, words_of
from tests.promises.conftest import Serve
from tests.promises.worlds import tiny_world

ALWAYS = 10**9
TOKEN = "tell-tale-token-0123456789-abcdefghijklmnop"
KEY = "5trE4m/kEy+with=signs:0123456789abcdef"


def found(home: Path, secrets: set[str], *printed: str) -> list[tuple[str, str]]:
    """Where a secret, or half of one, came to rest."""
    parts = {part.encode() for secret in secrets for part in (secret, secret[: len(secret) // 2], secret[-16:])}
    places = [*words_of(home), ("printed", "".join(printed).encode())]
    return [(place, part.decode()) for place, words in places for part in parts if part in words]


# --- everything the simulator can do wrong ------------------------------------------------------------------


def test_promise_5_no_secret_anywhere_after_every_failure(
    serve: Serve, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = tiny_world(apps=("aula",), livestreams=5, sessions=20)
    keys = world.stream_keys()
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    load(settings, run_id="before")
    kinds = [
        "cut_json",
        "html_200",
        "not_success",
        "invalid_utf8",
        "redirect",
        "repeat_page",
        "unknown_fields",
        "new_type",
    ]
    for kind in kinds:
        simulator.service.faults = Faults(
            rate=1.0, kinds=(kind,), operations=("list-livestreams", "get-livestream"), consecutive=ALWAYS
        )
        with suppress(LivehouseError):
            load(settings, run_id=kind, full=True)
    out, err = capfd.readouterr()
    assert err.count("\n") >= 5, "it said what went wrong"
    assert keys
    assert found(settings.home, {simulator.token, *keys}, out, err, caplog.text) == []


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted({kind for kinds in GROUPS.values() for kind in kinds}))
def test_promise_5_no_secret_anywhere_after_each_failure(
    kind: str, serve: Serve, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = tiny_world(apps=("aula",), livestreams=5, sessions=20)
    keys = world.stream_keys()
    blow = Blow(retry_after=0, huge_bytes=1_000_000)
    simulator = serve(Simulator(world, faults=Faults(rate=0.5, kinds=(kind,), blow=blow, consecutive=20)))
    settings = settings_for(simulator, tmp_path / "home")
    with suppress(LivehouseError):
        load(settings)
    assert found(settings.home, {simulator.token, *keys}, *capfd.readouterr()) == []


def test_promise_5_no_secret_in_dagsters_storage_or_on_a_stream(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world()
    keys = world.stream_keys()
    simulator = serve(Simulator(world))
    simulator.faults.order("cut_json", operation="get-livestream", app_id="aula", times=ALWAYS)
    ran = livehouse(simulator, tmp_path / "home", "backfill", f"{DAYS[0]}", f"{DAYS[1]}")
    assert ran.returncode == 1, ran.stderr
    assert (tmp_path / "home" / "dagster" / "history").is_dir()
    assert found(tmp_path / "home", {simulator.token, *keys}, ran.stdout, ran.stderr) == []


# --- a service that repeats what it was told ----------------------------------------------------------------

QUOTES: dict[str, tuple[int, str, str]] = {
    "errors": (400, "application/json", '{"success":false,"errors":[{"code":1,"message":"bad header: Bearer @T"}]}'),
    "error": (403, "application/json", '{"success":false,"error":{"message":"@T and @K"},"stream_key":"@K"}'),
    "text of an error": (422, "application/json", '{"message":"token @T"}'),
    "escaped": (409, "application/json", '{"errors":[{"message":"@E"}]}'),
    "code": (400, "application/json", '{"errors":[{"code":"@T"}]}'),
    "plain": (400, "text/plain", "Authorization: Bearer @T"),
    "title": (502, "text/html", "<html><head><title>@T</title></head></html>"),
    "long": (400, "text/plain", "x" * 80 + "@T"),
    "long JSON": (400, "application/json", '{"errors":[{"message":"' + "x" * 285 + '@T"}]}'),
    "list": (500, "application/json", '{"errors":["@T"]}'),
    "200 that is none": (200, "application/json", '{"success":false,"errors":[{"message":"@T"}]}'),
    "cut record": (200, "application/json", '{"success":true,"data":[{"stream_key":"@K","name":"@K'),
    "name": (
        200,
        "application/json",
        (
            '{"success":true,"data":[{"id":"a","name":"@T","stream_key":"@K","Stream-Key":"@K","note":"see @K",'
            '"deep":{"streamKey":"@K","@K":1}}],"paging":{"total_count":1}}'
        ),
    ),
    "many keys": (
        200,
        "application/json",
        (
            '{"success":true,"data":[{"id":"b","stream_key":["@K"],"x":{"stream_key":{"primary":"@K"}}}],'
            '"paging":{"total_count":1}}'
        ),
    ),
}


class _TellTale(BaseHTTPRequestHandler):
    answer: ClassVar[tuple[int, str, str]]

    def do_GET(self) -> None:
        token = self.headers["Authorization"].removeprefix("Bearer ")
        status, kind, text = type(self).answer
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in token)
        body = text.replace("@T", token).replace("@K", KEY).replace("@E", escaped).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", token)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody listens."""


@contextmanager
def telltale(answer: tuple[int, str, str]) -> Iterator[str]:
    handler = type("Handler", (_TellTale,), {"answer": answer})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def environment(base_url: str, home: Path) -> dict[str, str]:
    return {
        "CLOUDFLARE_API_TOKEN": TOKEN,
        "CLOUDFLARE_ACCOUNT_ID": "account",
        "REALTIMEKIT_APP_ID": "app",
        "CLOUDFLARE_BASE_URL": base_url,
        "LIVEHOUSE_HOME": str(home),
        "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
        "LIVEHOUSE_RETRY_PAUSE_SECONDS": "0.001",
    }


@pytest.mark.parametrize("case", QUOTES)
def test_promise_5_a_reply_that_quotes_secrets_leaves_none(
    case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with telltale(QUOTES[case]) as base_url:
        given = environment(base_url, tmp_path / "home")
        said = ""
        try:
            load(Settings(**given), (DAYS[1], DAYS[1]))  # type: ignore[arg-type]  # read by alias
        except LivehouseError as error:
            said = repr(error) + str(error.__cause__) + str(error.__context__ or "")
        examined = call_livehouse(given, "doctor")
        listed = call_livehouse(given, "api", "list-livestreams", "--app", "app")
    out, err = capfd.readouterr()
    assert said or "name" in case or "keys" in case
    everything = (said, out, err, *map(str, examined), *map(str, listed))
    assert found(tmp_path / "home", {TOKEN, KEY}, *everything) == []


def test_promise_5_a_redirect_is_not_followed(serve: Serve, tmp_path: Path) -> None:
    heard: list[str] = []

    class Elsewhere(_TellTale):
        answer = (200, "application/json", '{"success":true,"data":[]}')

        def do_GET(self) -> None:
            heard.append(self.path)
            super().do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            simulator = serve(Simulator(tiny_world(apps=("aula",))))
            blow = Blow(redirect_to=f"http://127.0.0.1:{server.server_port}/collect")
            simulator.faults.order("redirect", times=ALWAYS, blow=blow)
            with pytest.raises(LivehouseError, match="302"):
                load(settings_for(simulator, tmp_path / "home"))
        finally:
            server.shutdown()
            thread.join()
    assert heard == []


def test_promise_5_settings_never_show_the_token(tmp_path: Path) -> None:
    given = environment("http://127.0.0.1:9", tmp_path) | {"LIVEHOUSE_LOOKBACK_DAYS": "many"}
    for name in ("CLOUDFLARE_API_TOKEN", "REALTIMEKIT_APP_ID", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_BASE_URL"):
        wrong = given | {name: f"{TOKEN}\x1b[31m\n{TOKEN}"}
        status, out, err = call_livehouse(wrong, "nightly")
        assert status == 2
        assert TOKEN not in out + err
        assert "\x1b" not in out + err
    settings = Settings(**environment("http://127.0.0.1:9", tmp_path))  # type: ignore[arg-type]  # read by alias
    assert TOKEN not in repr(settings) + str(settings) + settings.model_dump_json()


def test_promise_5_keys_are_shown_by_hand_only(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=3, sessions=6)
    simulator = serve(Simulator(world))
    given = variables(simulator, tmp_path / "home")
    status, out, err = call_livehouse(given, "api", "list-livestreams", "--app", "aula")
    assert status == 0
    assert not [key for key in world.stream_keys() if key in out + err]
    status, out, _ = call_livehouse(given, "api", "list-livestreams", "--app", "aula", "--show-keys")
    assert {stream["stream_key"] for stream in json.loads(out)["data"]} == world.stream_keys()

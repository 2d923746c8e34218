"""Promise 5: neither the token nor a stream key reaches a file or an output stream, however a run fails."""

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pytest

from pipelines.errors import LivehouseError
from pipelines.settings.settings import Settings
from pipelines.simulator.faults import GROUPS, FaultInjector
from pipelines.simulator.server import Simulator
from pipelines.simulator.transport_faults import FaultOptions
from tests.pipeline_runner import DAYS, environment_for, run_pipeline, settings_for
from tests.promises.conftest import LoadHome, Serve, template_world
from tests.promises.fault_runner import file_contents, run_cli, run_cli_process
from tests.promises.world_factory import tiny_world

ALWAYS = 10**9
TOKEN = "tell-tale-token-0123456789-abcdefghijklmnop"
KEY = "5trE4m/kEy+with=signs:0123456789abcdef"


def leaks(home: Path, secrets: set[str], *printed: str) -> list[tuple[str, str]]:
    """Return the place and text of every secret, or half of one, in the files of a home and in the output."""
    parts = {part.encode() for secret in secrets for part in (secret, secret[: len(secret) // 2], secret[-16:])}
    places = [*file_contents(home), ("printed", "".join(printed).encode())]
    return [(place, part.decode()) for place, content in places for part in parts if part in content]


# --- every fault of the simulator ------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.promise(5)
def test_no_secret_is_left_after_any_failure(
    serve: Serve,
    load_home: LoadHome,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    world = template_world()
    keys = world.stream_keys()
    simulator = serve(Simulator(world))
    settings = load_home(simulator, tmp_path / "home")
    transport = ("cut_json", "html_200", "not_success", "invalid_utf8", "redirect")
    cases = {
        "list-livestreams": transport,  # the run fails
        "get-livestream": (*transport, "repeat_page"),  # livestreams fail
        "all": ("unknown_fields", "new_type"),
    }
    injected, messages = set[str](), list[str]()
    for operation, kinds in cases.items():
        operations = None if operation == "all" else (operation,)
        faults = FaultInjector(seed=1, rate=1.0, kinds=kinds, operations=operations, max_consecutive=ALWAYS)
        simulator.service.faults = faults
        try:
            messages += run_pipeline(settings, run_id=operation, full=True).failure_lines()
        except LivehouseError as error:
            messages.append(repr(error))
        injected |= {kind for _, kind in faults.injected}
    assert injected == {kind for kinds in cases.values() for kind in kinds}
    out, err = capfd.readouterr()
    assert len(messages) >= 2, "a failed run, and failed livestreams"
    assert keys
    assert leaks(settings.home, {simulator.token, *keys}, out, err, caplog.text, *messages) == []


@pytest.mark.promise(5)
@pytest.mark.long
@pytest.mark.parametrize("kind", sorted({kind for kinds in GROUPS.values() for kind in kinds}))
def test_no_secret_is_left_after_each_fault(
    kind: str, serve: Serve, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    world = tiny_world(apps=("aula",), livestreams=5, sessions=20)
    keys = world.stream_keys()
    options = FaultOptions(retry_after=0, huge_bytes=1_000_000)
    simulator = serve(
        Simulator(world, faults=FaultInjector(rate=0.5, kinds=(kind,), options=options, max_consecutive=20))
    )
    settings = settings_for(simulator, tmp_path / "home")
    with suppress(LivehouseError):
        run_pipeline(settings)
    assert leaks(settings.home, {simulator.token, *keys}, *capfd.readouterr()) == []


@pytest.mark.long
@pytest.mark.promise(5)
def test_no_secret_in_dagster_storage_or_output(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world()
    keys = world.stream_keys()
    simulator = serve(Simulator(world))
    simulator.faults.schedule("cut_json", operation="get-livestream", app_id="aula", times=ALWAYS)
    ran = run_cli_process(simulator, tmp_path / "home", "backfill", f"{DAYS[0]}", f"{DAYS[1]}")
    assert ran.returncode == 1, ran.stderr
    assert (tmp_path / "home" / "dagster" / "history").is_dir()
    assert leaks(tmp_path / "home", {simulator.token, *keys}, ran.stdout, ran.stderr) == []


# --- an API that echoes the token ----------------------------------------------------------------

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
    "200 without success": (200, "application/json", '{"success":false,"errors":[{"message":"@T"}]}'),
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


class _EchoHandler(BaseHTTPRequestHandler):
    response: ClassVar[tuple[int, str, str]]

    def do_GET(self) -> None:
        token = self.headers["Authorization"].removeprefix("Bearer ")
        status, kind, text = type(self).response
        escaped = "".join(f"\\u{ord(letter):04x}" for letter in token)
        body = text.replace("@T", token).replace("@K", KEY).replace("@E", escaped).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Echo", token)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


def serve_echo(response: tuple[int, str, str]) -> AbstractContextManager[str]:
    return serving(type("Handler", (_EchoHandler,), {"response": response}))


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
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


@pytest.mark.long
@pytest.mark.promise(5)
@pytest.mark.parametrize("case", QUOTES)
def test_response_that_echoes_secrets_leaves_none(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serve_echo(QUOTES[case]) as base_url:
        given = environment(base_url, tmp_path / "home")
        message = ""
        try:
            run_pipeline(Settings(**given), (DAYS[1], DAYS[1]))  # type: ignore[arg-type]  # read by alias
        except LivehouseError as error:
            message = repr(error) + str(error.__cause__) + str(error.__context__ or "")
        examined = run_cli(given, "doctor")
        listed = run_cli(given, "api", "list-livestreams", "--app", "app")
    out, err = capfd.readouterr()
    assert message or "name" in case or "keys" in case
    everything = (message, out, err, *map(str, examined), *map(str, listed))
    assert leaks(tmp_path / "home", {TOKEN, KEY}, *everything) == []


# --- stream keys under any name, quoted anywhere -------------------------------------------------------------------

KEYS = {name: f"{name}-K3y0123456789abcdef/{name}=" for name in "abcdefghijklm"}
"""One key per place where a key can occur. No key is a part of another."""

LIVESTREAMS = [
    # A quoted key arrives before the response, or the record, that identifies it as a key.
    {
        "id": "one",
        "name": f"backup of {KEYS['l']}",
        "status": "LIVE",
        "stream_key": KEYS["a"],
        "ingest_server": f"rtmps://live.example:443/live/{KEYS['a']}",
        "playback_url": "https://live.example/one/manifest/video.m3u8",
    },
    {
        "id": "two",
        "name": f"see {KEYS['a']}",
        "status": "LIVE",
        "Stream Key": KEYS["b"],
        "stream.key": KEYS["c"],
        "stream_keys": [KEYS["d"]],
        "rtmp_stream_key": KEYS["e"],
        "streamKeyPrimary": KEYS["f"],
        "rtmps": {"url": "rtmps://live.example/live", "key": KEYS["g"]},
        "srt": {"url": f"srt://live.example:778?streamid=x&passphrase={KEYS['h']}", "passphrase": KEYS["h"]},
        "webRTC": {"url": f"https://live.example/{KEYS['i']}/webRTC/publish"},
        "note": json.dumps({"nested": json.dumps({"streamKey": KEYS["j"]})}),
        "future_secret": KEYS["k"],
        "anything_new": KEYS["m"],
        "ingest_server": f"rtmp://live.example/live/{KEYS['k']}?x={KEYS['m']}",
    },
    {"id": "three", "name": None, "status": "IDLE", "stream_key": KEYS["l"], "disabled": KEYS["l"]},
]
QUOTE = " ".join(KEYS.values())


class _ManyKeys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path, status = self.path.partition("?")[0], 200
        at = f"{DAYS[1]}T10:00:00.000Z"
        body: dict[str, Any] = {"success": True}
        if path.endswith("/livestreams"):
            body |= {"data": LIVESTREAMS, "paging": {"total_count": 3}}
        elif "/livestreams/" in path and "analytics" not in path:
            times = {"created_at": at, "started_time": at, "stopped_time": f"{DAYS[1]}T11:00:00Z", "updated_at": at}
            figures = {"ingest_seconds": QUOTE if path.endswith("three") else 60, "viewer_seconds": 60}
            session = {"id": f"session of {path.rpartition('/')[2]}", "err_message": QUOTE, QUOTE: QUOTE}
            body |= {"data": {"sessions": [session | times | figures]}, "paging": {"total_count": 1}}
        else:
            status = 400 if "overall" in path else 500
            body = {"success": False, "errors": [{"code": 1, "message": QUOTE, "error_chain": [{"message": QUOTE}]}]}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@pytest.mark.long
@pytest.mark.promise(5)
def test_stream_keys_under_any_name_are_redacted_everywhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    posted: list[str] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    with serving(_ManyKeys) as base_url, serving(Receiver) as webhook:
        given = environment(base_url, tmp_path / "home") | {"LIVEHOUSE_ALERT_WEBHOOK": webhook}
        night = run_cli(given, "backfill", f"{DAYS[1]}", f"{DAYS[1]}", "--json")
        outputs = [
            run_cli(given, *arguments)
            for arguments in (
                ("report",),
                ("doctor",),
                ("on-air", "--json"),
                ("api", "list-livestreams"),
                ("api", "get-livestream", "one"),
                ("api", "get-daywise-analytics", f"{DAYS[1]}", f"{DAYS[1]}"),
                ("sql", "select * from core.livestreams", "--format", "json"),
            )
        ]
    assert night[0] == 1, night
    assert posted
    out = [*posted, *map(str, night), *map(str, outputs), *capfd.readouterr(), caplog.text]
    assert leaks(tmp_path / "home", set(KEYS.values()), *out) == []
    assert "rtmps://live.example:443/live/[removed]" in str(outputs)
    assert "https://live.example/one/manifest/video.m3u8" in str(outputs), "a URL without a secret stays"
    with duckdb.connect(tmp_path / "home" / "pipeline_raw.duckdb", read_only=True) as connection:
        fields = connection.execute("SELECT field, json_type FROM ops.field_types").fetchall()
        landed = connection.execute("SELECT count(*) FROM raw.livestream_sessions").fetchall()
    assert landed == [(3,)]
    assert ("anything_new", "string") in fields, "an unknown field is seen by name and type"
    assert ("rtmps", "object") in fields


@pytest.mark.long
@pytest.mark.promise(5)
def test_redirect_is_not_followed(serve: Serve, tmp_path: Path) -> None:
    received: list[str] = []

    class Elsewhere(_EchoHandler):
        response = (200, "application/json", '{"success":true,"data":[]}')

        def do_GET(self) -> None:
            received.append(self.path)
            super().do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            simulator = serve(Simulator(tiny_world(apps=("aula",))))
            options = FaultOptions(redirect_to=f"http://127.0.0.1:{server.server_port}/collect")
            simulator.faults.schedule("redirect", times=ALWAYS, options=options)
            with pytest.raises(LivehouseError, match="302"):
                run_pipeline(settings_for(simulator, tmp_path / "home"))
        finally:
            server.shutdown()
            thread.join()
    assert received == []


@pytest.mark.promise(5)
def test_settings_errors_never_show_the_token(tmp_path: Path) -> None:
    given = environment("http://127.0.0.1:9", tmp_path) | {"LIVEHOUSE_LOOKBACK_DAYS": "many"}
    for name in ("CLOUDFLARE_API_TOKEN", "REALTIMEKIT_APP_ID", "CLOUDFLARE_ACCOUNT_ID", "CLOUDFLARE_BASE_URL"):
        wrong = given | {name: f"{TOKEN}\x1b[31m\n{TOKEN}"}
        status, out, err = run_cli(wrong, "nightly")
        assert status == 2
        assert TOKEN not in out + err
        assert "\x1b" not in out + err
    settings = Settings(**environment("http://127.0.0.1:9", tmp_path))  # type: ignore[arg-type]  # read by alias
    assert TOKEN not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.long
@pytest.mark.promise(5)
def test_stream_keys_are_shown_only_on_request(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=3, sessions=6)
    simulator = serve(Simulator(world))
    given = environment_for(simulator, tmp_path / "home")
    status, out, err = run_cli(given, "api", "list-livestreams", "--app", "aula")
    assert status == 0
    assert not [key for key in world.stream_keys() if key in out + err]
    status, out, _ = run_cli(given, "api", "list-livestreams", "--app", "aula", "--show-keys")
    assert {stream["stream_key"] for stream in json.loads(out)["data"]} == world.stream_keys()

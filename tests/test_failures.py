"""A failed run is told of to a receiver that really listens: once, in words, without a secret."""

import json
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest

from pipelines.failures import RunFailedError, how_to_go_on, post_failure
from pipelines.sensors import TOLD, failure_webhook
from pipelines.settings import Settings
from pipelines.simulator.server import Simulator
from tests.houses import DAYS, settings_for, small_world, variables
from tests.promises.attack import call_livehouse

SECRET_PATH = "/services/T000/B000/the-address-is-the-password"


class Receiver:
    """Takes what is posted, and answers with each of `statuses` in turn, then 200."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, str]]] = []
        self.statuses: list[int] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.posted.append((self.path, json.loads(body)))
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}{SECRET_PATH}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = Thread(target=receiver.server.serve_forever, args=(0.01,))
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


def told_of(receiver: Receiver) -> str:
    [(path, body)] = receiver.posted
    assert path == SECRET_PATH
    assert set(body) == {"text"}
    return body["text"]


def test_a_refused_token_is_told_on_stderr_as_json_and_to_the_receiver_once(receiver: Receiver, tmp_path: Path) -> None:
    with Simulator(small_world(livestreams=2, sessions=4)) as simulator:
        given = {"LIVEHOUSE_ALERT_WEBHOOK": receiver.address, "CLOUDFLARE_API_TOKEN": "wrong-token-1234"}
        environment = variables(simulator, tmp_path, **given)
        status, out, err = call_livehouse(environment, "backfill", f"{DAYS[0]}", f"{DAYS[1]}", "--json")
    assert status == 1, err
    assert "401" in err
    assert "CLOUDFLARE_API_TOKEN" in err
    assert "Traceback" not in err
    summary = json.loads(out)
    assert (summary["succeeded"], len(summary["errors"])) == (False, 3)
    assert not any(app["sessions"] for app in summary["apps"])
    assert all(error in err for error in summary["errors"])
    text = told_of(receiver)
    assert f"backfill of {DAYS[0]} to {DAYS[1]} failed" in text
    assert "401" in text
    assert f"livehouse backfill {DAYS[0]} {DAYS[1]}" in text
    assert "wrong-token-1234" not in err + out + text
    assert SECRET_PATH not in out + err
    assert all(SECRET_PATH.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("tags", [{}, {TOLD: "the command line"}])
def test_the_sensor_tells_of_runs_that_nobody_else_tells_of(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str]
) -> None:
    @dg.op
    def broken() -> None:
        raise dg.Failure("aula: GET /livestreams: 403 <no permission> & more")

    @dg.job
    def nightly() -> None:
        broken()

    monkeypatch.setenv("LIVEHOUSE_ALERT_WEBHOOK", receiver.address)
    with dg.DagsterInstance.ephemeral() as instance:
        run = nightly.execute_in_process(instance=instance, raise_on_error=False, tags=tags)
        failure_webhook(
            dg.build_run_status_sensor_context(
                "failure_webhook", run.get_run_failure_event(), instance, run.dagster_run
            ).for_run_failure()
        )
    if tags:
        assert receiver.posted == []
    else:
        assert "• aula: GET /livestreams: 403 &lt;no permission&gt; &amp; more\n" in told_of(receiver)


def failed(settings: Settings) -> str | None:
    return post_failure(settings, "nightly", "0123456789", DAYS, [RunFailedError("it broke")])


def test_a_receiver_that_is_busy_is_told_again(receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses = [503]
    with Simulator(small_world(livestreams=1, sessions=1)) as simulator:
        assert failed(settings_for(simulator, tmp_path, LIVEHOUSE_ALERT_WEBHOOK=receiver.address)) is None
    assert len(receiver.posted) == 2


def test_a_receiver_that_refuses_is_one_line_without_its_address(receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses = [404]
    with Simulator(small_world(livestreams=1, sessions=1)) as simulator:
        said = failed(settings_for(simulator, tmp_path, LIVEHOUSE_ALERT_WEBHOOK=receiver.address))
        gone = failed(settings_for(simulator, tmp_path, LIVEHOUSE_ALERT_WEBHOOK="http://127.0.0.1:9/secret"))
        assert failed(settings_for(simulator, tmp_path)) is None
    assert said == "LIVEHOUSE_ALERT_WEBHOOK was not told of the failure: it answered 404"
    assert gone == "LIVEHOUSE_ALERT_WEBHOOK was not told of the failure: ConnectError"


@pytest.mark.parametrize(
    ("job", "days", "command"),
    [
        ("nightly", (date(2026, 1, 1), date(2026, 1, 3)), "livehouse nightly --date 2026-01-03"),
        ("rebuild", (date(2026, 1, 1), date(2026, 1, 3)), "livehouse rebuild 2026-01-01 2026-01-03"),
        ("observe", None, "livehouse on-air"),
    ],
)
def test_how_to_go_on(job: str, days: tuple[date, date] | None, command: str) -> None:
    assert how_to_go_on(job, days) == command

"""A failed run is posted to a real HTTP server: once, as text, without a secret."""

import json
import signal
import time
from base64 import b64encode
from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path

import dagster as dg
import pytest

from pipelines.cli.history import open_history
from pipelines.orchestration.alerts import post_failure
from pipelines.orchestration.resources import PARTITION, RANGE_END, RANGE_START, post_dead_runs
from pipelines.orchestration.run_errors import SIGNALED, RunFailedError, build_resume_command
from pipelines.orchestration.run_liveness import ALERTED_BY, RUN_LOCKS, mark_dead_runs
from pipelines.orchestration.sensors import failure_webhook
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from tests.parameters import long_except
from tests.pipeline_runner import DAYS, environment_for, settings_for, small_world
from tests.promises.fault_runner import run_cli
from tests.raw_server import Behaviour, drip, raw_server
from tests.webhook_receiver import SECRET_PATH, Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver.listening() as receiver:
        yield receiver


def posted_text(receiver: Receiver) -> str:
    [(path, body)] = receiver.posted
    assert path == SECRET_PATH
    assert set(body) == {"text"}
    return str(body["text"])


def test_a_refused_token_is_reported_on_stderr_as_json_and_to_the_webhook_once(
    receiver: Receiver, tmp_path: Path
) -> None:
    with Simulator(small_world(livestreams=2, sessions=4)) as simulator:
        given = {"LIVEHOUSE_ALERT_WEBHOOK": receiver.address, "CLOUDFLARE_API_TOKEN": "wrong-token-1234"}
        environment = environment_for(simulator, tmp_path, **given)
        status, out, err = run_cli(environment, "backfill", f"{DAYS[0]}", f"{DAYS[1]}", "--json")
    assert status == 1, err
    assert "401" in err
    assert "CLOUDFLARE_API_TOKEN" in err
    assert "Traceback" not in err
    summary = json.loads(out)
    assert (summary["succeeded"], len(summary["errors"])) == (False, 3)
    assert not any(app["sessions"] for app in summary["apps"])
    assert all(error in err for error in summary["errors"])
    text = posted_text(receiver)
    assert f"backfill of {DAYS[0]} to {DAYS[1]} failed" in text
    assert "401" in text
    assert f"livehouse backfill {DAYS[0]} {DAYS[1]}" in text
    assert "wrong-token-1234" not in err + out + text
    assert SECRET_PATH not in out + err
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not [
        secret for secret in (SECRET_PATH, "wrong-token-1234") if any(secret.encode() in file for file in files)
    ]


def test_user_and_password_of_the_address_are_sent_as_they_are(receiver: Receiver, tmp_path: Path) -> None:
    address = receiver.address.replace("http://", "http://us%40er:p%2Fw@")
    with Simulator(small_world(livestreams=1, sessions=1)) as simulator:
        settings = settings_for(simulator, tmp_path, LIVEHOUSE_ALERT_WEBHOOK=address)
    assert post_failure(settings, "nightly", "0123456789", None, [RunFailedError("x")]) is None
    assert receiver.authorizations == [f"Basic {b64encode(b'us@er:p/w').decode()}"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("tags", "command"),
    [
        ({}, "`livehouse nightly`"),
        ({ALERTED_BY: "the command line"}, ""),
        ({RANGE_START: "2026-11-20", RANGE_END: "2026-11-22"}, "`livehouse nightly --date 2026-11-22`"),
        ({PARTITION: "2026-11-21"}, "`livehouse nightly --date 2026-11-21`"),  # one day, chosen in the UI
    ],
)
def test_the_sensor_posts_only_runs_that_the_command_line_does_not_post(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tags: dict[str, str], command: str
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
    if ALERTED_BY in tags:
        assert receiver.posted == []
        return
    text = posted_text(receiver)
    assert "• aula: GET /livestreams: 403 &lt;no permission&gt; &amp; more\n" in text
    assert command in text


@pytest.mark.parametrize("started_by", ["a schedule", "the command line"])
def test_a_scheduled_run_that_a_signal_ended_is_a_failure_and_posted(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, started_by: str
) -> None:
    """Seen: it was "canceled" like a run that a user stopped, and nobody heard that the night did not run."""

    @dg.op
    def stopped() -> None:
        signal.raise_signal(signal.SIGINT)  # the process of a scheduled run handles SIGTERM in the same way

    @dg.job
    def nightly() -> None:
        stopped()

    monkeypatch.setenv("LIVEHOUSE_ALERT_WEBHOOK", receiver.address)
    tags = {RANGE_START: "2026-11-20", RANGE_END: "2026-11-22"}
    is_scheduled = started_by == "a schedule"
    tags |= {} if is_scheduled else {ALERTED_BY: started_by}
    with open_history(settings_of(tmp_path, receiver.address)) as instance:
        run_id = nightly.execute_in_process(instance=instance, raise_on_error=False, tags=tags).run_id
        run = instance.get_run_by_id(run_id)
        assert run
        assert run.status.value == ("FAILURE" if is_scheduled else "CANCELED")
        failures = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
        assert len(failures) == is_scheduled
        for entry in failures:
            context = dg.build_run_status_sensor_context("x", entry.get_dagster_event(), instance, run)
            failure_webhook(context.for_run_failure())
    if is_scheduled:
        assert run.tags["failed"] == SIGNALED
        assert run.tags["resume"] in entry.user_message
        assert SIGNALED in posted_text(receiver)


@pytest.mark.parametrize("started_by", ["the command line", "a schedule"])
def test_a_killed_run_of_the_command_line_is_posted_by_the_next_run(
    receiver: Receiver, tmp_path: Path, started_by: str
) -> None:
    """Seen: nobody heard of a night whose process was killed; the sensor leaves its alert to that process."""

    @dg.job
    def nightly() -> None:
        pass

    tags = {RANGE_START: "2026-11-20", RANGE_END: "2026-11-22"}
    by = ALERTED_BY if started_by == "the command line" else ".dagster/grpc_info"
    tags |= {by: json.dumps({"socket": f"{tmp_path / 'gone'}"})}
    settings = settings_of(tmp_path, receiver.address)
    with open_history(settings) as instance:
        run = instance.create_run_for_job(nightly, tags=tags, status=dg.DagsterRunStatus.STARTED)
        for _ in range(2):
            post_dead_runs(settings, mark_dead_runs(instance, settings.dagster_home / RUN_LOCKS, "another", print))
        assert [failed.status.value for failed in instance.get_runs()] == ["FAILURE"]
    if started_by == "a schedule":
        assert receiver.posted == []
        return
    text = posted_text(receiver)
    assert f"{run.run_id[:8]}: its process was killed, or the machine restarted" in text
    assert "`livehouse nightly --date 2026-11-22`" in text


@pytest.mark.parametrize(
    ("quoted", "must_not_be_there"),
    [
        ("@channel @here @everyone", ["@channel", "@here", "@everyone"]),
        ("<!channel> <@U123>", ["<!", "<@"]),
        ("see https://evil.example/x", ["https://evil"]),
        ("see HTTP://evil.example/x", ["HTTP://evil"]),
        ("tg://join?x xhttp://evil.example sms:1", ["tg://", "xhttp://", "sms:"]),
        ("www.evil.example", ["www.evil"]),
        ("[click](https://evil.example)", ["](", "https://evil"]),
        ("mailto:x@y.example", ["mailto:", "@y"]),
        ("```\n# heading", ["```\n#", "``"]),
        ("`code` *bold* _italic_", ["`code`"]),
    ],
)
def test_what_a_message_quotes_calls_nobody_and_links_nowhere(
    quoted: str, must_not_be_there: list[str], receiver: Receiver, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path, receiver.address)
    assert post_failure(settings, "nightly", "0123456789", DAYS, [RunFailedError(f"a stream called {quoted}")]) is None
    text = posted_text(receiver)
    before, block, after = text.split("```")
    assert "a stream called" in block
    assert "a stream called" not in before + after
    assert [part for part in must_not_be_there if part in block] == []


@pytest.mark.long
@pytest.mark.parametrize("answer", ["body without end", "slow body", "slow head", "silence", "no HTTP"])
def test_an_answer_of_any_size_and_speed_is_not_waited_for(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.transport.delivery._TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr("pipelines.transport.delivery._ATTEMPTS", 1)
    with raw_server(ANSWERS[answer]) as port:
        began = time.monotonic()
        fault = failed(settings_of(tmp_path, f"http://127.0.0.1:{port}/x"))
        assert time.monotonic() - began < 2
    assert (fault is None) == (answer in {"body without end", "slow body"})


@pytest.mark.long
@pytest.mark.parametrize(
    ("variable", "value"),
    long_except(
        [
            ("SSL_CERT_FILE", "/nowhere/at/all.pem"),
            ("SSL_CERT_DIR", "/nowhere/at/all"),
            ("ALL_PROXY", "socks5://user:hidden-word@127.0.0.1:9"),
            ("HTTPS_PROXY", "http://user:hidden-word@127.0.0.1:no-port"),
        ],
        ("ALL_PROXY", "socks5://user:hidden-word@127.0.0.1:9"),
    ),
)
def test_an_environment_that_cannot_be_used_does_not_hide_the_runs_own_errors(
    variable: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen: "a fault of livehouse itself" in place of the errors and the JSON document."""
    environment = {
        "CLOUDFLARE_API_TOKEN": "token-0123456789",
        "CLOUDFLARE_ACCOUNT_ID": "a",
        "REALTIMEKIT_APP_ID": "aula,stage",
        "LIVEHOUSE_HOME": str(tmp_path / "home"),
        "LIVEHOUSE_ALERT_WEBHOOK": "https://127.0.0.1:9/secret",
        variable: value,
    }
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "all_proxy", variable):
        monkeypatch.delenv(name, raising=False)
    status, out, err = run_cli(environment, "nightly", "--json")
    lines = err.strip().splitlines()
    assert len(lines) == 2, err
    assert variable in lines[0]
    assert lines[1].startswith("livehouse: could not post to LIVEHOUSE_ALERT_WEBHOOK: ")
    assert variable in lines[1]
    assert [f"livehouse: {error}" for error in json.loads(out)["errors"]] == lines
    assert "hidden-word" not in out + err
    assert "itself" not in err
    assert status == 2


@pytest.mark.long
def test_a_host_that_is_not_there_is_one_line_once(receiver: Receiver, tmp_path: Path) -> None:
    """Seen: 3 min 21 s, then twelve lines of one cause: per app and step, twice each."""
    environment = {
        "CLOUDFLARE_API_TOKEN": "token-0123456789",
        "CLOUDFLARE_ACCOUNT_ID": "a",
        "REALTIMEKIT_APP_ID": "aula,stage,third",
        "CLOUDFLARE_BASE_URL": "http://127.0.0.1:9/client/v4",
        "LIVEHOUSE_HOME": str(tmp_path / "home"),
        "LIVEHOUSE_ALERT_WEBHOOK": receiver.address,
    }
    began = time.monotonic()
    status, out, err = run_cli(environment, "nightly", "--json")
    assert time.monotonic() - began < 60
    assert status == 1
    [line] = err.strip().splitlines()
    assert line.startswith("livehouse: no API at http://127.0.0.1:9: ")
    assert "check CLOUDFLARE_BASE_URL" in line
    assert json.loads(out)["errors"] == [line.removeprefix("livehouse: ")]
    assert posted_text(receiver).count("no API at") == 1


def test_this_machine_is_not_reached_through_a_proxy(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert failed(settings_of(tmp_path, receiver.address)) is None
    assert len(receiver.posted) == 1


def settings_of(home: Path, webhook: str) -> Settings:
    given = {"LIVEHOUSE_HOME": str(home), "LIVEHOUSE_ALERT_WEBHOOK": webhook}
    return Settings(**given)  # type: ignore[arg-type]  # read by alias


HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS: dict[str, Behaviour] = {
    "body without end": partial(drip, begin=HEAD + b"\r\n", drop=b"x" * 100_000, every=0),
    "slow body": partial(drip, begin=HEAD + b"Content-Length: 9999\r\n\r\n", drop=b"x", every=0.02),
    "slow head": partial(drip, begin=HEAD, drop=b"X-A: b\r\n", every=0.02),
    "silence": lambda _: time.sleep(0.6),
    "no HTTP": lambda connection: connection.sendall(b"SSH-2.0\r\n"),
}


def failed(settings: Settings) -> str | None:
    return post_failure(settings, "nightly", "0123456789", DAYS, [RunFailedError("it broke")])


@pytest.mark.long
def test_a_busy_webhook_is_retried(receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses = [503]
    with Simulator(small_world(livestreams=1, sessions=1)) as simulator:
        assert failed(settings_for(simulator, tmp_path, LIVEHOUSE_ALERT_WEBHOOK=receiver.address)) is None
    assert len(receiver.posted) == 2


@pytest.mark.long
def test_a_receiver_that_refuses_is_one_line_without_its_address(receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses = [404]
    with Simulator(small_world(livestreams=1, sessions=1)) as simulator:
        fault = failed(settings_for(simulator, tmp_path, LIVEHOUSE_ALERT_WEBHOOK=receiver.address))
        gone = failed(settings_for(simulator, tmp_path, LIVEHOUSE_ALERT_WEBHOOK="http://127.0.0.1:9/secret"))
        assert failed(settings_for(simulator, tmp_path)) is None
    assert fault == "could not post to LIVEHOUSE_ALERT_WEBHOOK: HTTP 404"
    assert gone == "could not post to LIVEHOUSE_ALERT_WEBHOOK: no connection"


@pytest.mark.parametrize(
    ("job", "days", "command"),
    [
        ("nightly", (date(2026, 1, 1), date(2026, 1, 3)), "livehouse nightly --date 2026-01-03"),
        ("rebuild", (date(2026, 1, 1), date(2026, 1, 3)), "livehouse rebuild 2026-01-01 2026-01-03"),
        ("observe", None, "livehouse on-air"),
        ("upkeep", None, "livehouse upkeep"),
        ("__ASSET_JOB", (date(2026, 1, 1), date(2026, 1, 3)), "livehouse backfill 2026-01-01 2026-01-03"),
        ("__ASSET_JOB", None, "livehouse nightly"),
    ],
)
def test_resume_command(job: str, days: tuple[date, date] | None, command: str) -> None:
    assert build_resume_command(job, days) == command

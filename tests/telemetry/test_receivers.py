"""Metrics, spans and heartbeats as receivers get them, and receivers that accept nothing."""

import json
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from pipelines.errors import SettingsError
from pipelines.orchestration.run_telemetry import report_run
from pipelines.settings.settings import Settings, load_settings
from pipelines.telemetry.heartbeat import send_heartbeat
from pipelines.telemetry.logs import is_json, log, log_with_run
from pipelines.telemetry.otlp import METRICS, send_run
from pipelines.telemetry.run_record import Load, RunRecord, Stage
from tests.promises.fault_runner import run_cli
from tests.raw_server import raw_server
from tests.telemetry.receiver import Receiver

ROOT = Path(__file__).parents[2]
START = datetime(2026, 11, 24, 2, 30)
MIDNIGHT = 1_763_942_400 + 365 * 86_400
"""Unix time of 2026-11-24T00:00Z."""
RECORD = RunRecord(
    "0192f0c1-0000-7000-8000-000000000001",
    "nightly",
    START,
    START + timedelta(seconds=12.5),
    succeeded=True,
    stages=(
        Stage("raw.livestreams", START, START + timedelta(seconds=2), succeeded=True),
        Stage("publish.report", START + timedelta(seconds=10), START + timedelta(seconds=12), succeeded=True),
    ),
    loads=(
        Load("raw.livestreams", "aula", START, START + timedelta(seconds=1), 3, 1, 1, 250, 248, 0, is_incomplete=False),
        Load("raw.livestreams", "stage", START, START + timedelta(seconds=2), 2, 0, 0, 7, 7, 0, is_incomplete=True),
        Load("core.livestreams", "aula", START, START, 0, 0, 0, 248, 247, 1, is_incomplete=False),
    ),
    newest_days=(("aula", date(2026, 11, 24)),),
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver().listening() as listening:
        yield listening


def settings_with(**variables: str) -> Settings:
    return load_settings(**variables)


def test_every_figure_of_a_run_is_a_metric(receiver: Receiver) -> None:
    assert send_run(settings_with(LIVEHOUSE_OTLP_ENDPOINT=f"{receiver.address}/"), RECORD) is None
    [points] = receiver.metrics

    def values(name: str) -> dict[str, float]:
        """Return values by attributes, without the job."""
        return {
            " ".join(value for key, value in attributes if key != "job"): point
            for attributes, point in points[name].items()
        }

    assert {name: values(name) for name in points} == {
        "livehouse.run.duration": {"success": 12.5},
        "livehouse.run.last_success": {"": MIDNIGHT + 2.5 * 3_600 + 12.5},
        "livehouse.stage.duration": {"raw.livestreams": 2, "publish.report": 2},
        "livehouse.newest_day": {"aula": MIDNIGHT},
        "livehouse.requests": {"aula": 3, "stage": 2},
        "livehouse.retries": {"aula": 1, "stage": 0},
        "livehouse.refusals": {"aula": 1, "stage": 0},
        "livehouse.loads.incomplete": {"aula": 0, "stage": 1},
        "livehouse.rows.received": {
            "aula raw.livestreams": 250,
            "stage raw.livestreams": 7,
            "aula core.livestreams": 248,
        },
        "livehouse.rows.landed": {
            "aula raw.livestreams": 248,
            "stage raw.livestreams": 7,
            "aula core.livestreams": 247,
        },
        "livehouse.rows.quarantined": {
            "aula raw.livestreams": 0,
            "stage raw.livestreams": 0,
            "aula core.livestreams": 1,
        },
    }
    assert all(("job", "nightly") in attributes for metric in points.values() for attributes in metric)
    assert [*points] == [metric.name for metric in METRICS]


def test_a_run_is_one_trace_with_spans_for_stages_and_loads(receiver: Receiver) -> None:
    assert send_run(settings_with(LIVEHOUSE_OTLP_ENDPOINT=receiver.address), RECORD) is None
    [spans] = receiver.spans
    names = {span.span_id: span.name for span in spans}
    assert {span.trace_id.hex() for span in spans} == {RECORD.run_id.replace("-", "")}
    found = [
        (
            span.name,
            names.get(span.parent_span_id),
            (span.end_time_unix_nano - span.start_time_unix_nano) / 10**9,
            span.status.code == Status.STATUS_CODE_OK,
        )
        for span in spans
    ]
    assert found == [
        ("nightly", None, 12.5, True),
        ("raw.livestreams", "nightly", 2, True),
        ("publish.report", "nightly", 2, True),
        ("raw.livestreams", "raw.livestreams", 1, True),
        ("raw.livestreams", "raw.livestreams", 2, False),
        ("core.livestreams", "nightly", 0, True),
    ]
    assert spans[0].start_time_unix_nano == (MIDNIGHT * 10 + 90_000) * 10**8


def test_headers_reach_the_collector_decoded(receiver: Receiver) -> None:
    given = settings_with(
        LIVEHOUSE_OTLP_ENDPOINT=receiver.address, LIVEHOUSE_OTLP_HEADERS="Authorization=Basic%20YTpi,x-scope=eu"
    )
    send_run(given, RECORD)
    assert receiver.authorizations == {"Basic YTpi"}


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_one_line(receiver: Receiver, status: int, capfd: pytest.CaptureFixture[str]) -> None:
    """Seen: a collector's reply quoted the key that it refused, and the message of the run quoted the reply."""
    receiver.status, receiver.echoes = status, True
    key = "the-address-is-the-password"
    given = settings_with(
        LIVEHOUSE_OTLP_ENDPOINT=receiver.address,
        LIVEHOUSE_OTLP_HEADERS=f"x-api-key={key}",
        LIVEHOUSE_HEARTBEAT_URL=f"{receiver.address}/{key}",
    )
    assert [send_run(given, RECORD), send_heartbeat(given)] == [
        f"could not send the run to LIVEHOUSE_OTLP_ENDPOINT: HTTP {status}",
        f"could not request LIVEHOUSE_HEARTBEAT_URL: HTTP {status}",
    ]
    assert capfd.readouterr() == ("", "")


def test_a_redirect_is_a_refusal_and_not_followed(receiver: Receiver) -> None:
    """Seen: the exporter of OpenTelemetry took a redirect for success."""
    with Receiver().listening() as other:
        receiver.status, receiver.reply_headers = 307, {"Location": f"{other.address}/v1/metrics"}
        given = settings_with(LIVEHOUSE_OTLP_ENDPOINT=receiver.address, LIVEHOUSE_OTLP_HEADERS="x-api-key=secret")
        assert send_run(given, RECORD) == "could not send the run to LIVEHOUSE_OTLP_ENDPOINT: HTTP 307"
        assert other.metrics == []


def test_the_reply_of_a_collector_is_not_read() -> None:
    """Seen: the exporter of OpenTelemetry read an endless body for ten seconds, 1.8 GB."""
    sent = 0

    def reply_endlessly(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += connection.send(b"x" * 2**16)

    with raw_server(reply_endlessly) as port:
        assert send_run(settings_with(LIVEHOUSE_OTLP_ENDPOINT=f"http://127.0.0.1:{port}"), RECORD) is None
    assert sent < 32 * 2**20


def test_a_variable_of_the_library_that_is_malformed_is_one_line(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_COUNT_LIMIT", "many")
    fault = send_run(settings_with(LIVEHOUSE_OTLP_ENDPOINT=receiver.address), RECORD)
    assert fault
    assert "OTEL_ATTRIBUTE_COUNT_LIMIT" in fault
    assert "\n" not in fault


def test_a_run_with_thousands_of_loads_is_one_complete_trace(receiver: Receiver) -> None:
    record = replace(RECORD, loads=RECORD.loads[:1] * 3_000)
    assert send_run(settings_with(LIVEHOUSE_OTLP_ENDPOINT=receiver.address), record) is None
    assert sum(map(len, receiver.spans)) == 3_003


def test_a_successful_night_requests_the_address(receiver: Receiver) -> None:
    assert send_heartbeat(settings_with(LIVEHOUSE_HEARTBEAT_URL=f"{receiver.address}/ping/uuid?create=1")) is None
    assert receiver.beats == ["/ping/uuid?create=1"]


def test_nothing_is_sent_unless_it_is_configured() -> None:
    assert send_run(load_settings(), RECORD) is None
    assert send_heartbeat(load_settings()) is None


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.common.metrics_encoder", None)
    with pytest.raises(SettingsError, match=r"livehouse\[telemetry\]"):
        send_run(settings_with(LIVEHOUSE_OTLP_ENDPOINT="http://127.0.0.1:9"), RECORD)


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"LIVEHOUSE_OTLP_ENDPOINT": "collector:4318"}, "LIVEHOUSE_OTLP_ENDPOINT"),
        ({"LIVEHOUSE_OTLP_ENDPOINT": "grpc://collector:4317"}, "LIVEHOUSE_OTLP_ENDPOINT"),
        ({"LIVEHOUSE_OTLP_ENDPOINT": "https://user:secret@collector"}, "LIVEHOUSE_OTLP_ENDPOINT"),
        (
            {"LIVEHOUSE_OTLP_ENDPOINT": "https://collector", "LIVEHOUSE_OTLP_HEADERS": "secret"},
            "LIVEHOUSE_OTLP_HEADERS",
        ),
        ({"LIVEHOUSE_OTLP_HEADERS": "a=secret"}, "LIVEHOUSE_OTLP_ENDPOINT"),
        (
            {"LIVEHOUSE_OTLP_ENDPOINT": "https://collector", "LIVEHOUSE_OTLP_HEADERS": "a=%0Asecret"},
            "LIVEHOUSE_OTLP_HEADERS",
        ),
        ({"LIVEHOUSE_OTLP_ENDPOINT": "http://collector", "LIVEHOUSE_OTLP_HEADERS": "a=secret"}, "unencrypted"),
        ({"LIVEHOUSE_HEARTBEAT_URL": "http://example.com/secret"}, "LIVEHOUSE_HEARTBEAT_URL"),
        ({"LIVEHOUSE_LOG_FORMAT": "xml"}, "LIVEHOUSE_LOG_FORMAT"),
    ],
)
def test_a_malformed_setting_is_refused_in_one_line(variables: dict[str, str], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as refused:
        settings_with(**variables)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)


UNITS = {"s": "_seconds"}
"""Suffixes by which Prometheus shows units; units in braces have none."""


def test_the_dashboard_shows_every_metric_and_no_other() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    shown = {name for query in queries for name in re.findall(r"livehouse_\w+", query)}
    assert shown == {metric.name.replace(".", "_") + UNITS.get(metric.unit, "") for metric in METRICS}


# --- log lines ---------------------------------------------------------------------------------------------


def logged(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_json_line_has_time_level_message_and_run(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LIVEHOUSE_LOG_FORMAT", "json")
    with log_with_run("0192", "nightly"):
        log('livehouse: "aula" is late\x1b[31m', "error")
    log("waiting")
    first, second = logged(capfd)
    assert datetime.fromisoformat(first.pop("time")).tzinfo is not None
    assert first == {
        "message": '"aula" is late\\x1b[31m',
        "level": "error",
        "run_id": "0192",
        "job": "nightly",
    }
    assert {*second} == {"message", "level", "time"}


def test_text_is_the_default_and_a_file_may_choose(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log("livehouse: plain", "error")
    assert capfd.readouterr().err == "livehouse: plain\n"
    (tmp_path / ".env").write_text("LIVEHOUSE_LOG_FORMAT=json\n")
    assert is_json()
    log("livehouse: structured")
    [line] = logged(capfd)
    assert (line["message"], line["level"]) == ("structured", "info")


@dg.job
def nightly() -> None:
    """A job for a run that is only recorded."""


def test_a_failed_run_is_sent_while_its_lakehouse_cannot_be_reached(receiver: Receiver) -> None:
    pytest.importorskip("psycopg", reason="the extra `lakehouse` is not installed")
    settings = settings_with(
        LIVEHOUSE_WAREHOUSE="ducklake:postgres:host=/nowhere dbname=x", LIVEHOUSE_OTLP_ENDPOINT=receiver.address
    )
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(nightly)
        instance.report_run_failed(run)
        assert report_run(settings, instance, run.run_id) == []
    [metrics] = receiver.metrics
    assert [dict(attributes)["outcome"] for attributes in metrics["livehouse.run.duration"]] == ["failure"]


@pytest.mark.parametrize("arguments", [("init",), ("sql", "--examples")])
def test_hints_of_commands_are_json_lines_too(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, _, err = run_cli({"LIVEHOUSE_LOG_FORMAT": "json"}, *arguments)
    assert status == 0
    assert [json.loads(line)["level"] for line in err.splitlines()] == ["info"]

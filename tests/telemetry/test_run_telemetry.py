"""Nights tell machines about themselves: metrics, a trace, a heartbeat, log lines in JSON."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.telemetry.otlp import METRICS
from tests.fixed_clock import NOW
from tests.pipeline_runner import APPS, environment_for, query
from tests.promises.fault_runner import run_cli
from tests.promises.test_retries_and_rate_limit import ALWAYS
from tests.promises.world_factory import tiny_world
from tests.telemetry.receiver import Points, Receiver

HEADER_VALUE = "Bearer c0llector-s3cret-0123456789"
DAY = f"{NOW.date()}"
pytestmark = pytest.mark.long


class Nights(NamedTuple):
    """Two nights: one that succeeds, and one in which an app fails."""

    receiver: Receiver
    settings: Settings
    outcomes: list[tuple[int, str, str]]
    home: Path


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    home = tmp_path_factory.mktemp("telemetry") / "home"
    with Receiver().listening() as receiver, Simulator(tiny_world()) as simulator:
        environment = environment_for(
            simulator,
            home,
            LIVEHOUSE_OTLP_ENDPOINT=receiver.address,
            LIVEHOUSE_OTLP_HEADERS=f"Authorization={HEADER_VALUE.replace(' ', '%20')}",
            LIVEHOUSE_HEARTBEAT_URL=f"{receiver.address}/ping/0000-secret-uuid",
            LIVEHOUSE_LOOKBACK_DAYS="2",
            LIVEHOUSE_LOG_FORMAT="json",
        )
        settings = Settings(**environment)  # type: ignore[arg-type]  # read by alias, as from the environment
        command = ("nightly", "--date", DAY, "--no-catch-up")
        outcomes = [run_cli(environment, *command)]
        simulator.faults.schedule("not_success", operation="list-livestreams", app_id=APPS[1], times=ALWAYS)
        outcomes.append(run_cli(environment, *command))
        yield Nights(receiver, settings, outcomes, home)


def only(points: Points, metric: str, **attributes: str) -> float:
    return points[metric][tuple(sorted({"job": "nightly", **attributes}.items()))]


def test_metrics_are_the_figures_of_the_run(nights: Nights) -> None:
    first, second = nights.receiver.metrics[:2]
    [(run_id,)] = query(nights.settings, "SELECT run_id FROM ops.loads ORDER BY started_at LIMIT 1")
    loads = query(
        nights.settings,
        "SELECT app_id, table_name, rows_landed, rows_received FROM ops.loads WHERE run_id = ?",
        run_id,
    )
    assert len(loads) > 10
    for app_id, table, landed, received in loads:
        assert only(first, "livehouse.rows.landed", app=app_id, table=table) == landed
        assert only(first, "livehouse.rows.received", app=app_id, table=table) == received
    requests = query(nights.settings, "SELECT sum(api_requests) FROM ops.loads WHERE run_id = ?", run_id)[0][0]
    assert sum(first["livehouse.requests"].values()) == requests > 10
    midnight = datetime.fromisoformat(DAY).replace(tzinfo=UTC).timestamp()
    for app_id in APPS:
        assert only(first, "livehouse.newest_day", app=app_id) == midnight
        assert only(first, "livehouse.loads.incomplete", app=app_id) == 0
    assert only(first, "livehouse.run.last_success") > 0
    assert only(first, "livehouse.run.duration", outcome="success") > 0
    assert "livehouse.run.last_success" not in second, "the receiver keeps the value of the last success"
    assert only(second, "livehouse.run.duration", outcome="failure") > 0
    assert only(second, "livehouse.loads.incomplete", app=APPS[1]) > 0
    assert {*first} | {*second} == {metric.name for metric in METRICS}


def test_the_trace_has_the_id_of_the_run_and_its_stages_and_loads(nights: Nights) -> None:
    spans = nights.receiver.spans[0]
    [(run_id,)] = query(nights.settings, "SELECT run_id FROM ops.loads ORDER BY started_at LIMIT 1")
    assert {span.trace_id.hex() for span in spans} == {run_id.replace("-", "")}
    by_id = {span.span_id: span for span in spans}
    [root] = [span for span in spans if not span.parent_span_id]
    assert root.name == "nightly"
    loads = [span for span in spans if any(key.key == "livehouse.table" for key in span.attributes)]
    stages = {span.name for span in spans if span.parent_span_id == root.span_id and span not in loads}
    assert {"raw.livestreams", "core.livestream_sessions", "marts.daily_usage", "publish.warehouse"} <= stages
    parents = {(load.name, by_id[load.parent_span_id].name) for load in loads}
    assert {name for name, parent in parents if name != parent} <= {
        "core.live_observations",
        "raw.livestream_analytics_daywise",
    }, "parts of another asset"
    assert len(loads) == query(nights.settings, "SELECT count(*) FROM ops.loads WHERE run_id = ?", run_id)[0][0]
    [failed_root] = [span for span in nights.receiver.spans[1] if not span.parent_span_id]
    assert (root.status.code, failed_root.status.code) == (Status.STATUS_CODE_OK, Status.STATUS_CODE_ERROR)


def test_only_a_successful_night_sends_a_heartbeat(nights: Nights) -> None:
    assert [status for status, _, _ in nights.outcomes] == [0, 1]
    assert nights.receiver.beats == ["/ping/0000-secret-uuid"], "of the first night"


def test_log_lines_are_json_with_level_and_run(nights: Nights) -> None:
    _, out, err = nights.outcomes[1]
    lines = [json.loads(line) for line in err.splitlines()]
    errors = [line for line in lines if line["level"] == "error"]
    assert errors
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    assert all(not line["message"].startswith("livehouse") for line in lines)
    assert "loaded with errors" in out, "results stay text, on stdout"


def test_secrets_of_receivers_are_nowhere(nights: Nights) -> None:
    assert nights.receiver.authorizations == {HEADER_VALUE}
    everything = "".join(out + err for _, out, err in nights.outcomes).encode()
    files = b"".join(file.read_bytes() for file in nights.home.rglob("*") if file.is_file())
    for secret in (b"c0llector-s3cret", b"0000-secret-uuid"):
        assert secret not in everything
        assert secret not in files

"""Send a finished run to an OpenTelemetry collector, as metrics and as one trace.

Metrics are gauges with the figures of the last run: a run is a process that ends, and its counters would begin at zero each
night. The trace's id is the run's id. Names and units: docs/reference/metrics.md.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote
from uuid import UUID

from pipelines.errors import SettingsError
from pipelines.settings.settings import Settings
from pipelines.telemetry.run_record import Load, RunRecord
from pipelines.transport.delivery import deliver

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Tracer

_LONGEST_FAULT = 300


class Metric(NamedTuple):
    """A gauge: name, unit by UCUM, and meaning."""

    name: str
    unit: str
    description: str


DURATION = Metric("livehouse.run.duration", "s", "Duration of the last run; attributes: job, outcome")
LAST_SUCCESS = Metric("livehouse.run.last_success", "s", "Unix time at which the last successful run of a job ended")
STAGE_DURATION = Metric(
    "livehouse.stage.duration", "s", "Duration of each asset of the last run; attributes: job, stage"
)
NEWEST_DAY = Metric("livehouse.newest_day", "s", "Unix time at which the newest loaded day of an app begins (UTC)")
REQUESTS = Metric("livehouse.requests", "{request}", "Requests of the last run, retries included; attributes: job, app")
RETRIES = Metric("livehouse.retries", "{request}", "Requests of the last run that were retries; attributes: job, app")
REFUSALS = Metric(
    "livehouse.refusals",
    "{request}",
    "Requests of the last run that the rate limit refused (429); attributes: job, app",
)
INCOMPLETE = Metric(
    "livehouse.loads.incomplete", "{load}", "Tables of an app that the last run could not load completely"
)
RECEIVED = Metric("livehouse.rows.received", "{row}", "Records received by the last run; attributes: job, app, table")
LANDED = Metric(
    "livehouse.rows.landed", "{row}", "Rows written or unchanged in the last run; attributes: job, app, table"
)
QUARANTINED = Metric(
    "livehouse.rows.quarantined", "{row}", "Records quarantined in the last run; attributes: job, app, table"
)
METRICS = (
    DURATION,
    LAST_SUCCESS,
    STAGE_DURATION,
    NEWEST_DAY,
    REQUESTS,
    RETRIES,
    REFUSALS,
    INCOMPLETE,
    RECEIVED,
    LANDED,
    QUARANTINED,
)


def send_run(settings: Settings, record: RunRecord) -> str | None:
    """Send a run to LIVEHOUSE_OTLP_ENDPOINT, if that is set. Return one line if the collector did not accept it.

    Raises `SettingsError` if the extra `telemetry` is not installed.
    """
    if settings.collector is None:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    except ImportError:
        raise SettingsError(
            "LIVEHOUSE_OTLP_ENDPOINT requires the extra `telemetry`: pip install 'livehouse[telemetry]'"
        ) from None
    fault: str | None = None
    headers = {"content-type": "application/x-protobuf", **_parse_headers(settings)}
    try:
        for path, request in (
            ("metrics", encode_metrics(_collect_metrics(record))),
            ("traces", encode_spans(_collect_spans(record))),
        ):
            address, content = f"{settings.collector}/v1/{path}", request.SerializeToString()
            fault = fault or deliver("POST", address, content, lambda: headers)
    except Exception as error:  # noqa: BLE001 - such as a malformed OTEL_ variable: no reason to fail a run
        fault = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_FAULT]
    return fault and f"could not send the run to LIVEHOUSE_OTLP_ENDPOINT: {fault}"


def _parse_headers(settings: Settings) -> dict[str, str]:
    if settings.collector_headers is None:
        return {}
    pairs = (pair.strip().partition("=") for pair in settings.collector_headers.get_secret_value().split(","))
    return {name.lower(): unquote(value) for name, _, value in pairs}


def _create_resource() -> "Resource":
    from opentelemetry.sdk.resources import Resource

    return Resource.create({"service.name": "livehouse"})


def _collect_metrics(record: RunRecord) -> "MetricsData":
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], _create_resource(), shutdown_on_exit=False)
    _record_metrics(provider.get_meter("livehouse"), record)
    return reader.get_metrics_data() or MetricsData([])


def _record_metrics(meter: "Meter", record: RunRecord) -> None:
    def record_values(metric: Metric, values: Iterable[tuple[float, dict[str, str]]]) -> None:
        gauge = meter.create_gauge(metric.name, metric.unit, metric.description)
        for value, attributes in values:
            gauge.set(value, {"job": record.job, **attributes})

    outcome = "success" if record.succeeded else "failure"
    record_values(DURATION, [(_seconds(record.started_at, record.finished_at), {"outcome": outcome})])
    if record.succeeded:
        record_values(LAST_SUCCESS, [(_unix_time(record.finished_at), {})])
    stages = [(_seconds(stage.started_at, stage.finished_at), {"stage": stage.name}) for stage in record.stages]
    record_values(STAGE_DURATION, stages)
    midnight = datetime.min.time()
    record_values(
        NEWEST_DAY, [(_unix_time(datetime.combine(day, midnight)), {"app": app}) for app, day in record.newest_days]
    )
    by_app: dict[str, list[Load]] = {}
    for load in record.loads:
        by_app.setdefault(load.app_id, []).append(load)
    record_values(REQUESTS, [(sum(load.requests for load in loads), {"app": app}) for app, loads in by_app.items()])
    record_values(RETRIES, [(sum(load.retries for load in loads), {"app": app}) for app, loads in by_app.items()])
    record_values(REFUSALS, [(sum(load.refusals for load in loads), {"app": app}) for app, loads in by_app.items()])
    record_values(
        INCOMPLETE, [(sum(load.is_incomplete for load in loads), {"app": app}) for app, loads in by_app.items()]
    )
    record_values(RECEIVED, [(load.received, _of_table(load)) for load in record.loads])
    record_values(LANDED, [(load.landed, _of_table(load)) for load in record.loads])
    record_values(QUARANTINED, [(load.quarantined, _of_table(load)) for load in record.loads])


def _of_table(load: Load) -> dict[str, str]:
    return {"app": load.app_id, "table": load.table}


def _collect_spans(record: RunRecord) -> "Sequence[ReadableSpan]":
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class RunIdGenerator(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return UUID(record.run_id).int

    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=_create_resource(), id_generator=RunIdGenerator(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    _record_spans(provider.get_tracer("livehouse"), record)
    return exporter.get_finished_spans()


def _record_spans(tracer: "Tracer", record: RunRecord) -> None:
    """Record the run, in it its stages, and in each stage the loads of its table by app."""
    from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

    def span(
        name: str,
        times: tuple[datetime, datetime],
        inside: Span | None,
        attributes: dict[str, str | int],
        *,
        is_good: bool,
    ) -> Span:
        context = set_span_in_context(inside) if inside else None
        made = tracer.start_span(name, context, attributes=attributes, start_time=_nanoseconds(times[0]))
        made.set_status(Status(StatusCode.OK if is_good else StatusCode.ERROR))
        made.end(_nanoseconds(times[1]))
        return made

    times = record.started_at, record.finished_at
    root = span(record.job, times, None, {"livehouse.run_id": record.run_id}, is_good=record.succeeded)
    stages = {
        stage.name: span(stage.name, (stage.started_at, stage.finished_at), root, {}, is_good=stage.succeeded)
        for stage in record.stages
    }
    for load in record.loads:
        attributes: dict[str, str | int] = {
            "livehouse.app": load.app_id,
            "livehouse.table": load.table,
            "livehouse.requests": load.requests,
            "livehouse.retries": load.retries,
            "livehouse.refusals": load.refusals,
            "livehouse.rows.landed": load.landed,
            "livehouse.rows.quarantined": load.quarantined,
        }
        span(
            load.table,
            (load.started_at, load.finished_at),
            stages.get(load.table, root),
            attributes,
            is_good=not load.is_incomplete,
        )


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()


def _unix_time(moment: datetime) -> float:
    """Return the Unix time of a moment in UTC, which has no time zone of its own here."""
    return moment.replace(tzinfo=UTC).timestamp()


def _nanoseconds(moment: datetime) -> int:
    return round(_unix_time(moment) * 1_000_000) * 1_000

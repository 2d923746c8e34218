"""Send a finished run to an OpenTelemetry collector, as metrics and as one trace.

Metrics are gauges with the figures of the last run: a run is a process that ends, and its counters would begin at zero each
night. The trace's id is the run's id. Names and units: docs/reference/metrics.md.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote
from uuid import UUID

from pipelines.errors import SettingsError
from pipelines.settings.settings import Settings
from pipelines.telemetry.run_record import Load, RunRecord

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Tracer

_TIMEOUT_SECONDS = 10
"""For each of the two requests, retries included."""
_DEADLINE_SECONDS = 30.0
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
        from opentelemetry.sdk.resources import Resource
    except ImportError:
        raise SettingsError(
            "LIVEHOUSE_OTLP_ENDPOINT requires the extra `telemetry`: pip install 'livehouse[telemetry]'"
        ) from None
    faults: list[str] = []

    def send() -> None:
        try:
            with _collect_faults(faults):
                resource = Resource.create({"service.name": "livehouse"})
                _send_metrics(settings, resource, record)
                _send_trace(settings, resource, record)
        except Exception as error:  # noqa: BLE001 - such as a malformed OTEL_ variable: no reason to fail a run
            faults.append(" ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_FAULT])

    # the library limits each read, not a reply: a collector that answers a byte at a time would block for ever
    sender = Thread(target=send, daemon=True, name="otlp")
    sender.start()
    sender.join(_DEADLINE_SECONDS)
    if sender.is_alive():
        faults.append(f"no complete reply in {_DEADLINE_SECONDS:g} s")
    return f"could not send the run to LIVEHOUSE_OTLP_ENDPOINT: {faults[0]}" if faults else None


@contextmanager
def _collect_faults(faults: list[str]) -> Iterator[None]:
    """Collect what the exporters log about failures, instead of printing it with a stack trace."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            faults.append(" ".join(record.getMessage().split())[:_LONGEST_FAULT])

    logger, handler = logging.getLogger("opentelemetry"), Handler(logging.WARNING)
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _parse_headers(settings: Settings) -> dict[str, str]:
    if settings.collector_headers is None:
        return {}
    pairs = (pair.strip().partition("=") for pair in settings.collector_headers.get_secret_value().split(","))
    return {name.lower(): unquote(value) for name, _, value in pairs}


def _send_metrics(settings: Settings, resource: "Resource", record: RunRecord) -> None:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter = OTLPMetricExporter(
        endpoint=f"{settings.collector}/v1/metrics", headers=_parse_headers(settings), timeout=_TIMEOUT_SECONDS
    )
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=float("inf"))
    provider = MeterProvider([reader], resource, shutdown_on_exit=False)
    _record_metrics(provider.get_meter("livehouse"), record)
    provider.force_flush()
    provider.shutdown()


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


def _send_trace(settings: Settings, resource: "Resource", record: RunRecord) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class RunIdGenerator(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return UUID(record.run_id).int

    exporter = OTLPSpanExporter(
        endpoint=f"{settings.collector}/v1/traces", headers=_parse_headers(settings), timeout=_TIMEOUT_SECONDS
    )
    provider = TracerProvider(resource=resource, id_generator=RunIdGenerator(), shutdown_on_exit=False)
    spans = 1 + len(record.stages) + len(record.loads)  # the default queue drops spans beyond 2,048
    provider.add_span_processor(BatchSpanProcessor(exporter, spans, max_export_batch_size=spans))
    _record_spans(provider.get_tracer("livehouse"), record)
    provider.shutdown()  # sends


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

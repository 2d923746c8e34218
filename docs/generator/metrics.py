"""The references of the report's metrics and of the telemetry of runs, from their declarations."""

from docs.generator.markdown import code, codes, heading, page, plain, table
from pipelines.report.metrics import COST_LINES, METRICS, OTHER_TERMS, Metric
from pipelines.telemetry.otlp import METRICS as RUN_METRICS

_AGGREGATES = {
    "sum": "sum over the days",
    "ratio": "sum of the first column ÷ sum of the second",
    "maximum": "highest daily peak",
    "percentile": "percentile over all sessions",
}


def _metric_row(metric: Metric) -> tuple[str, ...]:
    return (
        plain(metric.label),
        metric.unit,
        _AGGREGATES[metric.aggregate],
        codes(metric.columns) or "-",
        plain(metric.definition),
    )


def metrics_page() -> str:
    """Return the page of the report's metrics."""
    return page(
        heading(1, "Metrics"),
        "The figures of the report. Each is computed from columns by day and app, over the chosen days and apps; a day on which one "
        "of its columns is unknown is left out and named.",
        table(("metric", "unit", "how days are combined", "columns", "meaning"), map(_metric_row, METRICS.values())),
        heading(2, "Other terms"),
        table(("term", "meaning"), ((plain(term), plain(text)) for term, text in OTHER_TERMS.items())),
        heading(2, "Estimated cost"),
        "Minutes times the rates in the settings. A line without a rate shows its minutes only.",
        table(
            ("line", "quantity", "column"),
            ((plain(line.label), plain(line.note), code(line.minutes)) for line in COST_LINES),
        ),
    )


def telemetry_page() -> str:
    """Return the page of the metrics that runs send."""
    return page(
        heading(1, "Telemetry"),
        "What each run sends to `LIVEHOUSE_OTLP_ENDPOINT`. All metrics are gauges with the figures of the last run of a job. "
        "Prometheus shows the dots as underscores and appends the unit: `livehouse_run_duration_seconds`.",
        table(
            ("metric", "unit", "meaning"),
            ((code(metric.name), code(metric.unit), plain(metric.description)) for metric in RUN_METRICS),
        ),
        heading(2, "Traces"),
        "Each run is one trace, whose id is the id of the run. The root span has the name of the job; in it, each asset is a span, and "
        "each table of an app is a span of its asset, with attributes for app, table, requests, retries and rows.",
    )

"""The reference of the report's metrics, from their declarations."""

from docs.generator.markdown import code, codes, heading, page, plain, table
from pipelines.report.metrics import COST_LINES, METRICS, OTHER_TERMS, Metric

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

"""Write messages to stderr, as text or as one JSON object per line. Keep results, which go to stdout, out."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

from pipelines.settings.log_format import read_log_format
from pipelines.text import printable

Level = Literal["info", "warning", "error"]

_run: dict[str, str] = {}
"""Fields of the current run, which every JSON line repeats. A process works on one run at a time."""


def log(message: str, level: Level = "info") -> None:
    """Write one line to stderr, also with `--quiet`."""
    _logger().log(logging.getLevelNamesMapping()[level.upper()], "%s", printable(message))


@contextmanager
def log_with_run(run_id: str, job: str) -> Iterator[None]:
    """Add a run's id and job to the JSON lines in this context."""
    before = dict(_run)
    _run.update(run_id=run_id, job=job)
    try:
        yield
    finally:
        _run.clear()
        _run.update(before)


def is_json() -> bool:
    """Return whether LIVEHOUSE_LOG_FORMAT asks for JSON lines, which no progress bar may interrupt."""
    return read_log_format() == "json"


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic only for type checkers
    """Writes to the stderr of the moment, which tests and terminals replace, in the format of the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        return _json_formatter().format(record) if is_json() else record.getMessage()


@cache
def _logger() -> logging.Logger:
    logger = logging.getLogger("livehouse")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(_StderrHandler())
    return logger


@cache
def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.json import JsonFormatter

    class Formatter(JsonFormatter):
        def add_fields(
            self, log_data: dict[str, object], record: logging.LogRecord, message_dict: dict[str, object]
        ) -> None:
            super().add_fields(log_data, record, message_dict)
            log_data["message"] = record.getMessage().removeprefix("livehouse: ")
            log_data["level"] = record.levelname.lower()
            log_data.update(_run)

    return Formatter("{message}", style="{", timestamp="time")

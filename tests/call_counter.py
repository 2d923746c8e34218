"""Counts the statements and the normalized records of a block of code, as it runs."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pipelines.load.raw_versions import land
from pipelines.marts.build import build_marts
from pipelines.normalize.resolve import normalize
from pipelines.steps.compared_days import compare_days

_LOADS, _AUDIT = "steps/load_core.py", "steps/audit.py"


@contextmanager
def count_calls() -> Iterator[Counter[str]]:
    """Count in this thread `statements` sent to DuckDB, and in loads of `core` tables; there also versions `normalized`.

    Also counts the landings of each raw table, by its full name, the normalizations of each core table, and the audits that
    normalize (`audited`), the `comparisons with the totals`, and the
    `transactions of marts`.
    """
    counted: Counter[str] = Counter()

    def note(frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call":
            if called.__module__ == "_duckdb" and called.__name__ in ("execute", "sql"):
                counted["statements"] += 1
                counted["core"] += _is_below(frame, _LOADS)
        elif event == "call" and frame.f_code is normalize.__code__:
            counted["normalized"] += frame.f_locals["raw"].height if _is_below(frame, _LOADS) else 0
            counted["audited"] += _is_below(frame, _AUDIT)
            counted[f"normalizations of {frame.f_locals['table'].full_name}"] += 1
        elif event == "call" and frame.f_code is build_marts.__code__:
            counted["transactions of marts"] += 1
        elif event == "call" and frame.f_code is compare_days.__code__:
            counted["comparisons with the totals"] += 1
        elif event == "call" and frame.f_code is land.__code__:
            counted[frame.f_locals["table"].full_name] += 1

    sys.setprofile(note)
    try:
        yield counted
    finally:
        sys.setprofile(None)


def _is_below(frame: FrameType | None, file: str) -> bool:
    while frame := frame.f_back if frame else None:
        if frame.f_code.co_filename.endswith(file):
            return True
    return False

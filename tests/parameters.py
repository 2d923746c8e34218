"""Parameters of tests: which cases run by default, and which only in the long suite."""

from collections.abc import Iterable
from typing import Any

import pytest


def long_except(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """Return parameters of a test: those of `quick` run by default, the others are `long`. A tuple is several arguments."""
    return [case if case in quick else _mark_long(case) for case in cases]


def _mark_long(case: Any) -> Any:
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.long)

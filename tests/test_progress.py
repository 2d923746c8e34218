"""Progress on a terminal: one bar for the whole run, with retries and the time left, above the bars of its phases."""

import re

import pytest

from pipelines.steps.progress import progress, quiet_output, run_progress, show_retries
from pipelines.telemetry.logs import log
from tests.terminals import read_on_terminal


def show_run() -> None:
    retries = 0
    show_retries(lambda: retries)
    with progress("aula overall", 4, phase="overall") as advance:
        for _ in range(2):
            advance(2)
            retries += 1
    log("livehouse: GET /livestreams: 503; retry 3 of 6 in 4 s")
    with progress("stage sessions", 2, phase="sessions") as advance:
        advance(1)
        raise_stop()


def raise_stop() -> None:
    raise KeyboardInterrupt


def test_one_bar_covers_the_run_and_messages_stay_readable() -> None:
    def body() -> None:
        with pytest.raises(KeyboardInterrupt), run_progress("backfill of a year", apps=2):
            show_run()

    seen = read_on_terminal(body)
    assert re.search("backfill of a year +━", seen)
    assert "10 %" in seen, "the phase of one of two apps"
    assert "1 retry" in seen
    assert re.search("aula overall +━", seen)
    assert "4/4" in seen
    assert "livehouse: GET /livestreams: 503; retry 3 of 6 in 4 s" in seen
    assert seen.rfind("\x1b[?25h") > seen.rfind("\x1b[?25l"), "the cursor is visible again"


def test_a_phase_outside_of_a_run_and_a_quiet_run() -> None:
    def alone() -> None:
        with progress("tables", 2) as advance:
            advance(2)

    assert "tables ━" in read_on_terminal(alone)

    def quiet() -> None:
        with quiet_output(quiet=True), run_progress("backfill", apps=1), progress("tables", 2) as advance:
            advance(2)

    assert read_on_terminal(quiet) == ""

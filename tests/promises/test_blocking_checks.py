"""A working file whose figures would be wrong is not published: the run says so in a line, and how to mend it."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.storage.warehouse import open_warehouse
from tests.pipeline_runner import LAST, assert_matches_world, environment_for, run_pipeline, settings_for
from tests.promises.conftest import Serve
from tests.promises.fault_runner import run_cli
from tests.promises.world_factory import tiny_world
from tests.terminals import run_cli_on_terminal

_DAY = f"DATE '{LAST}'"
CORRUPTIONS = {
    "a day's rows are gone": (f"DELETE FROM core.livestream_sessions WHERE day = {_DAY}", "ledger_matches"),
    "a day stands twice": (
        f"INSERT INTO core.recordings_daily SELECT * FROM core.recordings_daily WHERE day = {_DAY} LIMIT 1",
        "unique_key",
    ),
    "a load does not balance": (
        "UPDATE ops.loads SET rows_landed = rows_landed + 1 WHERE first_day IS NOT NULL",
        "balances",
    ),
}
_BEFORE = LAST - timedelta(days=1)


def shown(settings: Settings) -> bytes:
    """What people look at: the readers' copy; of a lakehouse, whose readers see each commit, the page."""
    path = settings.home / "report.html" if settings.lakehouse else settings.warehouse
    return path.read_bytes() if path.exists() else b""


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_failed_blocking_check_prevents_publication(corruption: str, serve: Serve, tmp_path: Path) -> None:
    sql, rule = CORRUPTIONS[corruption]
    simulator: Simulator = serve(Simulator(tiny_world(apps=("aula",), broken=False)))
    settings = settings_for(simulator, tmp_path / "home")
    environment = environment_for(simulator, settings.home, LIVEHOUSE_LOOKBACK_DAYS="1")
    run_pipeline(settings, (LAST, LAST))
    with open_warehouse(settings).open_working() as connection:
        connection.execute(sql)
    before = shown(settings)
    # A run of other days does not touch what is wrong.
    status, _, said = run_cli(environment, "nightly", "--date", f"{_BEFORE}", "--quiet")
    assert status == 1
    [line] = [line for line in said.splitlines() if line.startswith("livehouse: ")]
    assert "not published" in line
    assert rule in line
    assert "`livehouse rebuild DAY DAY`" in line
    assert shown(settings) == before
    days, requests = (f"{LAST}", f"{LAST}"), len(simulator.requests)
    mended = run_cli_on_terminal(environment, "rebuild", *days, "--quiet")
    assert len(simulator.requests) == requests, "a rebuild sends no request"
    if rule == "balances":  # records may be missing from what was landed, too
        mended = run_cli_on_terminal(environment, "backfill", *days, "--full", "--quiet")
    assert mended == (0, "")
    assert shown(settings) != before, "published again"
    if rule != "balances":  # whose row stays as it was written
        assert_matches_world(settings, simulator.world, (LAST, LAST))

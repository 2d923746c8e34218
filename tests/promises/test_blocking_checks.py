"""A working file that fails a blocking check is not published: the run prints one line with the remedy."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.storage.warehouse import open_warehouse
from tests.parameters import long_except
from tests.pipeline_runner import LAST, assert_matches_world, environment_for, query
from tests.promises.conftest import LoadHome, Serve, template_world
from tests.promises.fault_runner import run_cli
from tests.terminals import run_cli_on_terminal

_DAY = f"DATE '{LAST}'"
CORRUPTIONS = {
    "a day's rows are gone": (f"DELETE FROM core.livestream_sessions WHERE day = {_DAY}", "ledger_matches"),
    "a day is duplicated": (
        f"INSERT INTO core.recordings_daily SELECT * FROM core.recordings_daily WHERE day = {_DAY} LIMIT 1",
        "unique_key",
    ),
    "a load does not balance": (
        "UPDATE ops.loads SET rows_landed = rows_landed + 1 WHERE first_day IS NOT NULL",
        "balances",
    ),
}
_BEFORE = LAST - timedelta(days=1)


def published_bytes(settings: Settings) -> bytes:
    """Return the published file; for a lakehouse, whose readers see each commit, the report."""
    path = settings.home / "report.html" if settings.lakehouse else settings.warehouse
    return path.read_bytes() if path.exists() else b""


@pytest.mark.long
@pytest.mark.parametrize("corruption", long_except(CORRUPTIONS, "a day's rows are gone"))
def test_failed_blocking_check_prevents_publication(
    corruption: str, serve: Serve, load_home: LoadHome, tmp_path: Path
) -> None:
    sql, rule = CORRUPTIONS[corruption]
    simulator = serve(Simulator(template_world()))
    settings = load_home(simulator, tmp_path / "home")
    environment = environment_for(simulator, settings.home, LIVEHOUSE_LOOKBACK_DAYS="1")
    with open_warehouse(settings).open_working() as connection:
        connection.execute(sql)
    before = published_bytes(settings)
    # A run over other days leaves the corrupt day.
    status, _, err = run_cli(environment, "nightly", "--date", f"{_BEFORE}", "--quiet")
    assert status == 1
    [line] = [line for line in err.splitlines() if line.startswith("livehouse: ")]
    assert "not published" in line
    assert rule in line
    assert "`livehouse rebuild DAY DAY`" in line
    assert published_bytes(settings) == before


@pytest.mark.long
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_repaired_days_are_published(corruption: str, serve: Serve, load_home: LoadHome, tmp_path: Path) -> None:
    sql, rule = CORRUPTIONS[corruption]
    simulator = serve(Simulator(template_world()))
    settings = load_home(simulator, tmp_path / "home")
    environment = environment_for(simulator, settings.home)
    with open_warehouse(settings).open_working() as connection:
        connection.execute(sql)
    before = published_bytes(settings)
    days, requests = (f"{LAST}", f"{LAST}"), len(simulator.requests)
    status, shown = run_cli_on_terminal(environment, "rebuild", *days, "--quiet")
    assert len(simulator.requests) == requests, "a rebuild sends no request"
    if rule == "balances":  # landed records of any of its days may be missing, too
        [loaded] = query(settings, "SELECT min(first_day)::TEXT, max(last_day)::TEXT FROM ops.loads")
        status, shown = run_cli_on_terminal(environment, "backfill", *loaded, "--full", "--quiet")
    assert status == 0, shown
    assert published_bytes(settings) != before, "the repaired file is published"
    if rule != "balances":  # its row in ops.loads stays
        assert_matches_world(settings, simulator.world, (LAST, LAST))

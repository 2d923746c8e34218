"""Alert rules on a lakehouse: metrics and queries are evaluated within a run and between runs, and notes are kept."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.simulator.server import Simulator
from pipelines.steps.alerts import update_alerts_between_runs
from tests.fixed_clock import NOW, clock_set_to
from tests.night_runner import APP, LAST, NightRunner, at_hour, world_of
from tests.pipeline_runner import query
from tests.webhook_receiver import Receiver


@pytest.mark.long
def test_rules_are_evaluated_on_a_lakehouse(lake: str, tmp_path: Path) -> None:
    rules = tmp_path / "alerts.toml"
    rules.write_text(
        "[rules.watched]\nwhy = 'x'\nsql = 'SELECT app_id, day, sessions AS value FROM marts.daily_usage WHERE day >= $recent'\n"
        "above = 0\n[rules.streamed]\nwhy = 'x'\nmetric = 'peak_concurrent_streams'\nabove = 1"
    )
    with Simulator(world_of(2, (LAST, LAST))) as simulator, Receiver.listening() as receiver:
        variables = {
            "LIVEHOUSE_WAREHOUSE": lake,
            "LIVEHOUSE_ALERTS": f"{rules}",
            "LIVEHOUSE_ALERT_WEBHOOK": receiver.address,
        }
        night = NightRunner(simulator, tmp_path / "home", **variables)
        run = night.load((LAST, LAST), at=at_hour(LAST, 27))
        assert run.warnings == []
        assert len(receiver.take_texts()) == 1
        with clock_set_to(NOW + timedelta(days=1)):
            state = update_alerts_between_runs(night.settings, wait_seconds=5, log=print)
        assert (state.rule_faults, state.post_faults) == ([], [])
        [text] = receiver.take_texts()
        assert "1 new incident, 0 closed" in text
        incidents = query(
            night.settings, "SELECT rule, app_id, open_posted_at IS NOT NULL FROM ops.incidents ORDER BY rule"
        )
        assert incidents == [(rule, APP, True) for rule in ("no_new_day", "streamed", "watched")]

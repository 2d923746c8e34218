"""A night of the command line: incidents are checks and warnings of the run, and the digest is posted once for the day."""

import json
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest

from pipelines.cli.history import open_history
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.fixed_clock import NOW, clock_set_to
from tests.night_runner import APP, at_hour
from tests.pipeline_runner import environment_for
from tests.promises.fault_runner import run_cli
from tests.webhook_receiver import Receiver

DAY = NOW.date() - timedelta(days=1)


def bad_world() -> World:
    """Return one app with 24 sessions yesterday, six of which failed."""
    world = World(now=NOW, values="numbers")
    world.add_app(APP)
    livestream = world.add_livestream(APP, name="l", created_at=at_hour(DAY, -48))
    for number in range(24):
        failed = "encoder lost" if number < 6 else None
        world.add_session(
            APP,
            livestream.id,
            created_at=at_hour(DAY, number),
            ingest_seconds=60.0,
            viewer_seconds=60.0,
            err_message=failed,
        )
    return world


@pytest.mark.long
def test_a_night_warns_of_incidents_and_posts_a_digest_once(receiver: Receiver, tmp_path: Path) -> None:
    with Simulator(bad_world()) as simulator, clock_set_to(NOW):
        rules = tmp_path / "alerts.toml"
        rules.write_text("[rules.broken]\nwhy = 'x'\n")
        environment = environment_for(
            simulator,
            tmp_path / "home",
            LIVEHOUSE_ALERT_WEBHOOK=receiver.address,
            LIVEHOUSE_ALERTS=str(rules),
            LIVEHOUSE_DIGEST="webhook",
            LIVEHOUSE_REPORT_URL="https://reports.example/report.html",
        )
        status, out, err = run_cli(environment, "nightly", "--json")
        assert status == 0, err
        warnings = json.loads(out)["warnings"]
        assert any("`error_rate`: error rate 25 % (above 5 %)" in line for line in warnings), warnings
        assert any(f"`alert_rules`: {rules}: rule broken: takes either sql or metric" in line for line in warnings), (
            warnings
        )
        incidents, digest = receiver.take_texts()
        assert "1 new incident, 0 closed" in incidents
        assert digest.splitlines()[0] == f"livehouse: {DAY:%A} {DAY} (final)"
        assert "1 open incident:" in digest
        assert digest.splitlines()[-1] == "Report: https://reports.example/report.html"
        with open_history(Settings(**environment)) as instance:  # type: ignore[arg-type]  # read by alias
            key = dg.AssetKey(["publish", "warehouse"])
            summary = {
                check: instance.event_log_storage.get_asset_check_execution_history(
                    dg.AssetCheckKey(key, check), limit=1
                )
                for check in ("error_rate", "slow_start", "alert_rules")
            }
        assert {check: execution.status.value for check, [execution] in summary.items()} == {
            "error_rate": "FAILED",
            "slow_start": "SUCCEEDED",
            "alert_rules": "FAILED",
        }
        assert run_cli(environment, "nightly", "--quiet")[0] == 0
        assert receiver.texts == []

"""The vendor's SDKs perform every operation they have against the simulator. Python: tests/simulator/test_sdk.py."""

import json
import subprocess
from datetime import UTC, date, datetime
from typing import Any

import pytest

from pipelines.simulator.dialects import TODAY
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.peers.conftest import installed

APP, MEETING = "aula", "bbb87945-df1c-49d9-8159-262a7ae6cfde"
NOW = datetime(2025, 11, 20, 15, 30, tzinfo=UTC)
OPERATIONS = {
    "list-livestreams",
    "start-livestream",
    "get-meeting-livestream",
    "get-active-session",
    "get-livestream",
    "get-session",
    "stop-livestream",
    "get-overall-analytics",
    "get-livestream-daywise-analytics",
    "get-daywise-analytics",
}
"""All except the creation of a livestream without a meeting, which the SDKs have until September 2026."""


@pytest.mark.parametrize("package", ["cloudflare-6", "cloudflare-7"])
def test_typescript_sdk_performs_every_operation(package: str) -> None:
    place = installed(package)
    world = World.seeded(7, apps=[APP], livestreams=12, days=60, now=NOW, values="numbers", rounding="nearest")
    world.apps[APP].meetings.add(MEETING)
    with Simulator(world, dialect=TODAY) as simulator:
        arguments = [f"{place}", simulator.base_url, simulator.token, simulator.account_id, APP, MEETING]
        command = [
            "node",
            f"{place.parents[2] / 'tests' / 'peers' / 'sdk.mjs'}",
            *arguments,
            "1763596800",
            "1763683199",
        ]
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stderr
    report: dict[str, Any] = json.loads(run.stdout)
    assert set(report["operations"]) == report["done"].keys(), "sdk.mjs performs every operation that the SDK has"
    created = {"create-livestream"} if "createIndependentLivestream" in report["operations"] else set()
    assert {request.operation for request in simulator.requests} == OPERATIONS | created
    assert {request.status for request in simulator.requests} == {200, 201}
    done = {name.replace("Id", "ID"): reply["data"] for name, reply in report["done"].items()}
    day = date(2025, 11, 20)
    row = world.expected_rows(APP, day, day).livestream_analytics_daily[APP, day]
    complete, [by_day] = done["getLivestreamAnalyticsComplete"], done["getLivestreamAnalyticsDaywise"]
    assert (complete["count"], complete["total_ingest_seconds"]) == (row["livestream_count"], row["ingest_seconds"])
    assert (by_day["date"], by_day["count"]) == (f"{day}", world.expected_rows(APP, day, day).session_counts[APP, day])
    assert done["stopLivestreamingAMeeting"]["message"] == "Stopped live stream successfully"
    assert done["getLivestreamSessionDetailsForSessionID"]["livestream_id"] == done["startLivestreamingAMeeting"]["id"]

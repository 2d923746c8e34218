"""Promise 7: every request that livehouse sends is valid by the vendor's OpenAPI document, and the check finds invalid ones."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.simulator.dialects import OPERATIONS
from pipelines.simulator.server import Simulator
from pipelines.simulator.world import World
from tests.fixed_clock import NOW
from tests.openapi_requests import REQUEST_LOG
from tests.pipeline_runner import DAYS, environment_for
from tests.promises.fault_runner import run_cli

APP = "aula"
OTHER_MEETING = "7088bba8-f522-49a8-b59b-3cd0e946bbb0"
MEETING = "bbb87945-df1c-49d9-8159-262a7ae6cfde"


@pytest.fixture
def served() -> Any:
    world = World(now=NOW)
    world.add_app(APP, meetings=[MEETING, OTHER_MEETING])
    livestream = world.add_livestream(APP, name="one", meeting_id=MEETING)
    world.go_live(APP, livestream.id)
    with Simulator(world) as simulator:
        yield simulator


@pytest.mark.long
@pytest.mark.promise(7)
@pytest.mark.undescribed_requests
@pytest.mark.parametrize(
    ("method", "path", "sent", "message"),
    [
        ("GET", "/livestreams?page_no=one", {}, "page_no"),
        ("GET", "/livestreams?sort_order=DESC", {}, "sort_order"),
        ("GET", "/livestreams?limit=5", {}, "limit"),
        ("GET", "/livestreams?page_no=1&page_no=2", {}, "twice"),
        ("GET", "/livestreams/all", {"headers": {"authorization": ""}}, "Security"),
        ("GET", "/streams", {}, "Path not found"),
        ("DELETE", "/livestreams", {}, "Operation delete not found"),
        ("POST", "/livestreams", {"json": {"name": "two words"}}, "does not match"),
        ("POST", "/livestreams", {}, "Missing required request body"),
        ("POST", f"/meetings/{MEETING}/livestreams", {"data": {"name": "form"}}, "Content for the following mimetype"),
        ("POST", f"/meetings/{MEETING}/active-livestream/stop", {"json": {}}, "takes no body"),
    ],
)
def test_undocumented_requests_are_found(
    served: Simulator, method: str, path: str, sent: dict[str, Any], message: str
) -> None:
    root = f"{served.base_url}/accounts/{served.account_id}/realtime/kit/{APP}"
    headers = {"authorization": f"Bearer {served.token}"} | sent.pop("headers", {})
    REQUEST_LOG.purge()
    httpx.request(method, root + path, headers=headers, **sent)
    [violation] = REQUEST_LOG.violations()
    assert message in violation


@pytest.mark.promise(7)
def test_every_operation_is_sent_by_hand_as_documented(served: Simulator, tmp_path: Path) -> None:
    """`described_requests` in conftest.py checks the requests of each test, this one included."""
    environment = environment_for(served, tmp_path / "home")
    [livestream] = served.world.apps[APP].livestreams
    REQUEST_LOG.operations.clear()
    first, last = (f"{day}" for day in DAYS)
    for arguments in (
        ("api", "list-livestreams"),
        ("api", "get-livestream", livestream.id),
        ("api", "get-session", livestream.sessions[0].id),
        ("api", "get-active-session", livestream.id),
        ("api", "get-meeting-livestream", MEETING),
        ("api", "get-overall-analytics", first, last),
        ("api", "get-daywise-analytics", first, last),
        ("api", "get-livestream-daywise-analytics", first, last),
        ("api", "start-livestream", OTHER_MEETING),
        ("api", "stop-livestream", OTHER_MEETING),
        ("api", "create-livestream", "--name", "mine"),
    ):
        status, _, stderr = run_cli(environment, *arguments)
        assert (status, "Traceback" in stderr) == (0, False), (arguments, stderr)
    assert REQUEST_LOG.operations == set(OPERATIONS)

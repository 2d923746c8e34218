"""Promise 4: a failing app does not stop the others, and its error names path, status and cause."""

import json
from pathlib import Path

import pytest

from pipelines.errors import ApiError, ApiRefusedError, TransientApiError
from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.simulator.transport_faults import FaultOptions
from pipelines.simulator.world import World
from tests.extract.conftest import Canned, CannedServer
from tests.parameters import long_except
from tests.pipeline_runner import (
    APPS,
    DAYS,
    assert_matches_world,
    query,
    run_pipeline,
    settings_for,
)
from tests.promises.conftest import Serve
from tests.promises.fault_runner import published_days, run_cli, run_cli_process
from tests.promises.test_retries_and_rate_limit import ALWAYS
from tests.promises.world_factory import change_everything, tiny_world


def assert_app_matches_world(settings: Settings, world: World, app_id: str) -> None:
    """The rows of one app are exact, whatever happened to the others."""
    one_app = World(now=world.now)
    one_app.apps = {app_id: world.apps[app_id]}
    one_app.broken = world.broken
    assert_matches_world(settings, one_app)


# --- the explanation of refusals -------------------------------------------------------------------------------

CAUSE = "Invalid format for Authorization header"
EXPLAINED = {
    "a cause in error_chain": (
        Canned(
            400,
            json.dumps(
                {"errors": [{"code": 6003, "message": "Invalid request headers", "error_chain": [{"message": CAUSE}]}]}
            ).encode(),
        ),
        [CAUSE, "CLOUDFLARE_API_TOKEN"],
        ["permission", "try again later"],
    ),
    "a bot challenge": (
        Canned(
            403,
            b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>",
            {"Content-Type": "text/html; charset=UTF-8", "cf-mitigated": "challenge"},
        ),
        ["Just a moment...", "a bot check answered in place of the API"],
        ["permission", "CLOUDFLARE_API_TOKEN"],
    ),
    "a captive portal": (Canned(511, b"<html>log in</html>"), ["this network requires a login"], ["try again later"]),
    "a redirect": (
        Canned(302, b"", {"Location": "https://login.example/?next=x"}),
        ["a redirect to login.example is not followed", "CLOUDFLARE_BASE_URL"],
        ["next=x", "permission"],
    ),
    "RFC 9457": (
        Canned(409, b'{"type":"about:blank","title":"Invalid request","status":409,"detail":"page_no too large"}'),
        ["409: page_no too large"],
        ["Invalid request"],
    ),
}


@pytest.mark.long
@pytest.mark.promise(4)
@pytest.mark.parametrize("case", EXPLAINED)
def test_doctor_and_api_explain_a_refusal(case: str, tmp_path: Path) -> None:
    response, expected, unexpected = EXPLAINED[case]
    with CannedServer() as server:
        server.otherwise = response
        given = {
            "CLOUDFLARE_API_TOKEN": "token-0123456789",
            "CLOUDFLARE_ACCOUNT_ID": "account",
            "REALTIMEKIT_APP_ID": "aula",
            "CLOUDFLARE_BASE_URL": server.url,
            "LIVEHOUSE_HOME": str(tmp_path / "home"),
            "LIVEHOUSE_REQUESTS_PER_SECOND": "0",
        }
        examined = run_cli(given, "doctor")
        requests = len(server.received)
        by_hand = run_cli(given, "api", "list-livestreams")
        assert len(server.received) == requests + 1, "no retry"
    assert (examined[0], by_hand[0]) == (1, 1)
    of_api = [line for line in examined[1].splitlines() if "/livestreams" in line and "FAIL" in line]
    assert of_api
    for text in (examined[1], by_hand[2]):
        assert [part for part in expected if part not in text] == []
        assert [part for part in unexpected if part in text] == []


# --- failure of one app -------------------------------------------------------------------------------------

FAILURES = {
    "403 on everything": (None, 403, ApiRefusedError),
    "404 on everything": (None, 404, ApiRefusedError),
    "500 on overall": ("get-overall-analytics", 500, TransientApiError),
    "500 on sessions": ("get-livestream", 500, TransientApiError),
    "422 on daywise": ("get-daywise-analytics", 422, ApiRefusedError),
}


@pytest.mark.long
@pytest.mark.promise(4)
@pytest.mark.parametrize("case", long_except(FAILURES, "404 on everything"))
def test_failing_app_does_not_stop_the_others(case: str, serve: Serve, tmp_path: Path) -> None:
    operation, status, kind = FAILURES[case]
    world = tiny_world()
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings, run_id="before")
    before = {at: rows for at, rows in published_days(settings).items() if at[0].startswith("core.")}
    change_everything(world)
    simulator.faults.schedule(
        "server_error", operation=operation, app_id=APPS[0], times=ALWAYS, options=FaultOptions(status=status)
    )
    run = run_pipeline(settings, run_id="failing")
    assert {failure.app_id for failure in run.failures} == {APPS[0]}
    for error in (failure.error for failure in run.failures):
        assert isinstance(error, kind | ApiError)
        assert f"/realtime/kit/{APPS[0]}/" in str(error)
        assert f": {status}: Internal error" in str(error)
        assert "\n" not in str(error)
    assert_app_matches_world(settings, world, APPS[1])
    failed = {failure.table for failure in run.failures}
    for at, rows in published_days(settings).items():
        if at[0] in failed and at[1] == APPS[0]:
            assert rows == before[at], "rows that could not be fetched are kept"
    noted = query(settings, "SELECT DISTINCT app_id FROM ops.loads WHERE regexp_matches(note, '^(failed|incomplete)')")
    assert noted == [(APPS[0],)]


@pytest.mark.long
def test_error_names_every_failed_app(serve: Serve, tmp_path: Path) -> None:
    simulator = serve(Simulator(tiny_world()))
    for app_id, status in zip(APPS, (403, 451), strict=True):
        simulator.faults.schedule("server_error", app_id=app_id, times=ALWAYS, options=FaultOptions(status=status))
    with pytest.raises(ApiRefusedError, match=rf"{APPS[0]}.*403.*{APPS[1]}.*451"):
        run_pipeline(settings_for(simulator, tmp_path / "home"))


@pytest.mark.long
@pytest.mark.promise(4)
def test_command_reports_the_failed_app_and_its_cause(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world()
    simulator = serve(Simulator(world))
    simulator.faults.schedule("server_error", app_id=APPS[1], times=ALWAYS, options=FaultOptions(status=403))
    ran = run_cli_process(simulator, tmp_path / "home", "backfill", f"{DAYS[0]}", f"{DAYS[1]}")
    assert ran.returncode == 1
    lines = [line for line in ran.stderr.splitlines() if line.startswith("livehouse: ")]
    assert len(lines) == 1, ran.stderr
    for part in (APPS[1], f"/realtime/kit/{APPS[1]}/livestreams", "403", "Internal error", "Realtime permission"):
        assert part in lines[0]
    assert "Traceback" not in ran.stderr + ran.stdout
    assert_app_matches_world(settings_for(simulator, tmp_path / "home"), world, APPS[0])
    page = (tmp_path / "home" / "report.html").read_text()
    assert "403" in page, "the report shows the failed run"

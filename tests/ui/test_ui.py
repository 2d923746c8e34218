"""`livehouse ui` as a user starts it: the demo is shown, a run is launched, all others are refused, and its processes end with it."""

import os
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.clock import utc_now
from tests.ui.serving import CHROMIUM, LIVEHOUSE, PATIENCE, browser, descendants, left_running, served_by_command

PARTITIONS = "{assetNodes {partitionKeys}}"
RUNS = "{runsOrError {... on Runs {results {status pipelineName tags {key}}}}}"
LAUNCH = """mutation {launchRun(executionParams: {mode: "default", runConfigData: "{}", selector: {pipelineName: "upkeep",
    repositoryName: "__repository__", repositoryLocationName: "pipelines.definitions"}}) {__typename}}"""

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ui") / "home"
    done = subprocess.run(
        [LIVEHOUSE, "demo", "--days", "1", "--quiet"], env=os.environ | {"LIVEHOUSE_HOME": f"{home}"}, check=False
    )
    assert done.returncode == 0
    return home


def test_the_ui_shows_the_demo_to_a_newcomer_and_ends_with_its_process(home: Path, tmp_path: Path) -> None:
    for planted in ("dagster", "pipelines", "httpx"):  # in the directory it is started from
        (tmp_path / f"{planted}.py").write_text("raise SystemExit('hijacked')")
    today = utc_now().date()
    of_an_account = {"LIVEHOUSE_START_DATE": f"{today}"}  # not of the demo
    with served_by_command("ui", home, tmp_path, **of_an_account) as (address, ui):
        origin, _, token = address.partition("/?token=")
        with httpx.Client(base_url=origin, timeout=60) as client:
            assert client.post("/graphql", json={"query": RUNS}).status_code == 401
            client.get(f"/?token={token}", follow_redirects=True).raise_for_status()
            runs = client.post("/graphql", json={"query": RUNS}).json()
            assets = client.post("/graphql", json={"query": PARTITIONS}).json()["data"]["assetNodes"]
        [run] = runs["data"]["runsOrError"]["results"]
        assert run["status"] == "SUCCESS"
        assert {"livehouse/requests", "livehouse/findings"} <= {tag["key"] for tag in run["tags"]}
        first_days = {asset["partitionKeys"][0] for asset in assets if asset["partitionKeys"]}
        assert first_days == {f"{today - timedelta(days=180)}"}, "older days are no longer at the API"
        children = descendants(ui.pid)
        assert len(children) >= 2
        ui.terminate()
        ui.wait(timeout=60)
        assert left_running(children) == []
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{origin}/server_info")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL], ids=lambda number: number.name)
def test_however_it_ends_nothing_is_left_running(number: signal.Signals, home: Path, tmp_path: Path) -> None:
    with served_by_command("ui", home, tmp_path) as (_, ui):
        children = descendants(ui.pid)
        ui.send_signal(number)
        assert ui.wait(timeout=60) in (0, -signal.SIGKILL)
        assert left_running(children) == [], "Dagster's code servers wait for 45 s for a heartbeat"


def test_it_works_in_a_browser_and_a_foreign_page_launches_nothing(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api", reason="the Python package playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: `apt-get install chromium`")

    def send_query(page: Any, query: str) -> Any:
        fetched = "async ([url, query]) => await (await fetch(url + '/graphql', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({query})})).json()"
        return page.evaluate(fetched, [origin, query])["data"]

    def runs(page: Any) -> list[tuple[str, str]]:
        return [(run["pipelineName"], run["status"]) for run in send_query(page, RUNS)["runsOrError"]["results"]]

    with served_by_command("ui", home, tmp_path) as (address, _), browser() as chromium:
        origin = address.partition("/?")[0]
        opened = chromium.new_context()
        page = opened.new_page()
        subscriptions: list[str] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: subscriptions.append(f"{frame}")))
        page.goto(address)
        page.get_by_text("Catalog").first.wait_for(timeout=60_000)
        before = runs(page)
        foreign = opened.new_page()
        foreign.goto("about:blank")
        foreign.evaluate(
            "async ([url, launch]) => { new Image().src = url + '/graphql?query=' + encodeURIComponent(launch);"
            " for (const type of ['text/plain', 'application/json']) await fetch(url + '/graphql', {method: 'POST', mode: 'no-cors',"
            " credentials: 'include', body: new Blob([JSON.stringify({query: launch})], {type})}).catch(() => 0) }",
            [origin, LAUNCH],
        )
        foreign.wait_for_timeout(1000)
        assert runs(page) == before
        assert send_query(page, LAUNCH)["launchRun"]["__typename"] == "LaunchRunSuccess"
        deadline = time.monotonic() + PATIENCE
        while runs(page)[0] != ("upkeep", "SUCCESS"):
            assert time.monotonic() < deadline, runs(page)
            time.sleep(0.5)
        assert subscriptions, "the page follows what happens through a websocket"

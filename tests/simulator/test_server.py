"""The simulator as a program: started, asked, stopped."""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from pipelines.simulator.server import Simulator
from tests.simulator.conftest import APP, small_world

PROGRAM = """
from datetime import datetime
from pipelines.simulator.server import Simulator, demo_world, serve
serve(Simulator(demo_world(datetime.fromisoformat("2026-06-17T10:00Z"))), on_ready=lambda simulator: print(simulator.settings(), flush=True))
print("stopped", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_runs_until_a_signal(number: signal.Signals) -> None:
    root = Path(__file__).parents[2]
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    with program:
        assert program.stdout is not None
        settings = ast.literal_eval(program.stdout.readline())
        app = settings["REALTIMEKIT_APP_ID"].split(",")[1]
        account = settings["CLOUDFLARE_ACCOUNT_ID"]
        url = f"{settings['CLOUDFLARE_BASE_URL']}/accounts/{account}/realtime/kit/{app}"
        headers = {"Authorization": f"Bearer {settings['CLOUDFLARE_API_TOKEN']}"}
        answer = httpx.get(f"{url}/livestreams", headers=headers)
        assert answer.json()["paging"]["total_count"] == 120
        program.send_signal(number)
        out, err = program.communicate(timeout=10)
    assert (out, err, program.returncode) == ("stopped\n", "", 0)


def test_stopped_simulator_frees_its_port_and_thread() -> None:
    before = threading.active_count()
    with Simulator(small_world()) as simulator:
        port = simulator.port
    assert threading.active_count() == before
    with Simulator(small_world(), port=port) as simulator:
        assert simulator.port == port


def test_shutdown_does_not_wait_for_a_client_that_does_not_read() -> None:
    with Simulator(small_world()) as simulator:
        simulator.faults.schedule("huge_body")
        url = f"{simulator.base_url}/accounts/{simulator.account_id}/realtime/kit/{APP}/livestreams"
        with (
            httpx.Client(headers={"Authorization": f"Bearer {simulator.token}"}) as http,
            http.stream("GET", url) as answer,
        ):
            assert answer.status_code == 200
            began = time.monotonic()
            simulator.__exit__(None, None, None)
            assert time.monotonic() - began < 3


def test_world_imports_no_server_library() -> None:
    code = "import sys, pipelines.simulator.world; print({'uvicorn', 'starlette', 'httpx'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

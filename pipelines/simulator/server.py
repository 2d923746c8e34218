"""Serves a world over HTTP: in a thread of a test, or as a program until a signal."""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from email.utils import format_datetime
from types import TracebackType
from typing import Self

import uvicorn

from pipelines.simulator.access import Access, LoggedRequest, Quota
from pipelines.simulator.app import Service
from pipelines.simulator.connections import Connection
from pipelines.simulator.dialects import TODAY, Dialect
from pipelines.simulator.faults import FaultInjector
from pipelines.simulator.refusals import Refusal
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.thread_clock import set_thread_clock, thread_now
from pipelines.simulator.world import World

DEMO_TOKEN = "simulated-token-0123456789abcdefghijklmno"  # noqa: S105  (opens nothing but a simulator)
DEMO_ACCOUNT = "0123456789abcdef0123456789abcdef"
DEMO_APPS = ("aula-3f2b1c9e", "stage-9d0e7a54")
SHUTDOWN_SECONDS = 1.0


def demo_world(now: datetime) -> World:
    """Return the world of `livehouse demo`: two apps, 120 livestreams each, 90 days, some broken records."""
    return World.seeded(2025, apps=DEMO_APPS, livestreams=120, sessions=1_500, days=90, now=now, on_air=5)


class FastShutdownServer(uvicorn.Server):
    """uvicorn that stops at once when idle, and within `SHUTDOWN_SECONDS` in any case: tests start hundreds.

    Its Date header shows the time of the world, not the system time.
    """

    def __init__(self, config: uvicorn.Config, world: World) -> None:
        """Keep the world, whose clock the Date header shows."""
        super().__init__(config)
        self._world = world

    async def main_loop(self) -> None:
        """Update the Date header until the server stops."""
        set_thread_clock(lambda: self._world.now)
        ticks = 0
        while not self.should_exit:
            await self.on_tick(ticks // 5)
            date = format_datetime(thread_now(), usegmt=True)
            self.server_state.default_headers = [(b"date", date.encode()), *self.config.encoded_headers]
            await asyncio.sleep(0.02)
            ticks += 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Wait briefly for responses in flight, then abort the rest, such as a huge body that no client reads."""
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        while (state.connections or state.tasks) and time.monotonic() < deadline:  # noqa: ASYNC110 - uvicorn has no event for the last connection's end
            await asyncio.sleep(0.005)
        for connection in list(state.connections):
            if isinstance(connection, Connection):
                connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


class Simulator:
    """Serves a world over HTTP in a thread for the duration of a `with` block.

    token, account_id: the accepted credentials; `permitted=False`: the token lacks the Realtime permission (403).
    rate_limit: requests and seconds of a window; above it the response is 429. None: no limit and no headers.
    dialect: the accepted requests. refusals: parts that are always refused.
    latency: minimum seconds per response. order_by: "updated_at" makes rows move between pages.
    """

    def __init__(
        self,
        world: World,
        *,
        token: str = DEMO_TOKEN,
        account_id: str = DEMO_ACCOUNT,
        dialect: Dialect = TODAY,
        shapes: ResponseShapes | None = None,
        faults: FaultInjector | None = None,
        refusals: Iterable[Refusal] = (),
        per_page_cap: int = 100,
        rate_limit: tuple[int, float] | None = (100_000, 60.0),
        permitted: bool = True,
        latency: float = 0.0,
        order_by: str = "created_at",
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        """Bind a port (a free one by default); requests are served inside `with`."""
        self.world, self.token, self.account_id, self.faults = world, token, account_id, faults or FaultInjector()
        self.service = Service(
            world=world,
            access=Access(account_id, token, permitted),
            shapes=shapes or ResponseShapes(),
            dialect=dialect,
            refusals=list(refusals),
            per_page_cap=per_page_cap,
            quota=Quota(*rate_limit) if rate_limit else None,
            latency=latency,
            order_by=order_by,
            faults=self.faults,
        )
        self._socket = socket.create_server((host, port), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self.base_url = f"http://{host}:{self.port}/client/v4"
        config = uvicorn.Config(
            self.service.application(),
            http=Connection,
            ws="none",
            proxy_headers=False,
            lifespan="off",
            access_log=False,
            date_header=False,
            log_config=None,
            log_level="critical",
            loop="asyncio",
            timeout_keep_alive=60,
        )
        self._server = FastShutdownServer(config, world)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def requests(self) -> list[LoggedRequest]:
        """Every request so far, in order of arrival."""
        return self.service.log.requests

    @property
    def max_concurrent(self) -> int:
        """The highest number of requests in flight at once."""
        return self.service.log.max_in_flight

    def request_count(self, operation: str | None = None, app_id: str | None = None) -> int:
        """Return the number of requests so far for this operation and app."""
        return sum(
            operation in {None, request.operation} and app_id in {None, request.app_id}
            for request in list(self.requests)
        )

    def settings(self) -> dict[str, str]:
        """Return the environment variables that point livehouse to this server."""
        return {
            "CLOUDFLARE_API_TOKEN": self.token,
            "CLOUDFLARE_ACCOUNT_ID": self.account_id,
            "REALTIMEKIT_APP_ID": ",".join(self.world.apps),
            "CLOUDFLARE_BASE_URL": self.base_url,
        }

    def __enter__(self) -> Self:
        """Start serving. The port is already open: a request sent now waits for the server."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. Raise an exception of the simulator itself here rather than hide it behind a 500."""
        self._server.should_exit = True
        self._thread.join()
        if error is None and self.service.crashes:
            raise self.service.crashes[0]


def serve(simulator: Simulator, *, on_ready: Callable[[Simulator], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; call `on_ready` once the server responds. Main thread only."""
    stopped = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with simulator:
            if on_ready is not None:
                on_ready(simulator)
            stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

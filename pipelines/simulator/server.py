"""Serves a world on this machine: beside a test in a thread, or as a program until it is told to stop."""

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
    """uvicorn that ends at once where nothing is under way, and soon in any case: tests start hundreds.

    Its Date header is that of the simulated world, not the machine's.
    """

    def __init__(self, config: uvicorn.Config, world: World) -> None:
        """Take the world that is served."""
        super().__init__(config)
        self._world = world

    async def main_loop(self) -> None:
        """Keep the Date header current until told to stop."""
        set_thread_clock(lambda: self._world.now)
        ticks = 0
        while not self.should_exit:
            await self.on_tick(ticks // 5)
            date = format_datetime(thread_now(), usegmt=True)
            self.server_state.default_headers = [(b"date", date.encode()), *self.config.encoded_headers]
            await asyncio.sleep(0.02)
            ticks += 1

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let replies under way end, for a moment; then cut the rest, such as a huge body nobody reads."""
        for server in self.servers:
            server.close()
        for taken in sockets or []:
            taken.close()
        state = self.server_state
        for connection in list(state.connections):
            connection.shutdown()
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        # uvicorn has no event for the last connection's end.
        while (state.connections or state.tasks) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for connection in list(state.connections):
            if isinstance(connection, Connection):
                connection.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


class Simulator:
    """A world served over HTTP in a thread, from `with` to its end.

    token, account_id: what it wants to see; `permitted=False`: the token lacks the Realtime permission (403).
    rate_limit: requests and seconds of a window; over it the answer is 429. None: no limit, no headers.
    dialect: what it accepts. refusals: parts that it always refuses.
    latency: seconds each reply takes at least. order_by: "updated_at" makes rows move while paging.
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
        """Take a port (a free one unless told); nothing is served before `with`."""
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
        """Every request so far, in the order in which they came."""
        return self.service.log.requests

    @property
    def max_concurrent(self) -> int:
        """How many requests were under way at once, at most."""
        return self.service.log.max_in_flight

    def request_count(self, operation: str | None = None, app_id: str | None = None) -> int:
        """How many requests there were, of this operation and app."""
        return sum(
            operation in {None, request.operation} and app_id in {None, request.app_id}
            for request in list(self.requests)
        )

    def settings(self) -> dict[str, str]:
        """Return the environment variables that point livehouse here."""
        return {
            "CLOUDFLARE_API_TOKEN": self.token,
            "CLOUDFLARE_ACCOUNT_ID": self.account_id,
            "REALTIMEKIT_APP_ID": ",".join(self.world.apps),
            "CLOUDFLARE_BASE_URL": self.base_url,
        }

    def __enter__(self) -> Self:
        """Serve. The port is open since it was taken: a request made now waits, and is answered."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop. A mistake of the simulator itself is raised here, not hidden behind a 500."""
        self._server.should_exit = True
        self._thread.join()
        if error is None and self.service.crashes:
            raise self.service.crashes[0]


def serve(simulator: Simulator, *, on_ready: Callable[[Simulator], None] | None = None) -> None:
    """Serve until SIGINT or SIGTERM; `on_ready` gets the simulator once it answers. Main thread only."""
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

"""Connections that the application can close early, which no well-behaved server allows."""

import asyncio
import socket

from starlette.types import Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]
_open: dict[tuple[Address | None, Address | None], asyncio.Transport] = {}


class Connection(H11Protocol):
    """uvicorn's HTTP/1.1 protocol; keeps the transport of each open connection by its two addresses."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Keep the transport, and turn Nagle's delay off."""
        super().connection_made(transport)
        # asyncio turns Nagle's delay off only on sockets made with a protocol number: replies took 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _open[self.client, _server(self)] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the transport."""
        _open.pop((self.client, _server(self)), None)
        super().connection_lost(exc)


def _server(connection: H11Protocol) -> Address | None:
    """Return the server's address as it appears in the ASGI scope."""
    server = connection.server
    return None if server is None or server[1] is None else (server[0], server[1])


async def close_connection(scope: Scope, receive: Receive) -> None:
    """Close the connection of this request before the response is complete, and wait for the disconnect."""
    _open[scope["client"], scope["server"]].close()
    while (await receive())["type"] != "http.disconnect":
        pass

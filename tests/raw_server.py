"""A server that sends arbitrary bytes, as slowly as a test wants."""

import inspect
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Behaviour = Callable[[socket.socket], None] | Callable[[socket.socket, bytes], None]
"""Handles a connection, with or without the request as an argument."""


@contextmanager
def raw_server(behave: Behaviour) -> Iterator[int]:
    """Serve each connection with `behave` after reading its request; yield the port."""
    takes_request = "request" in inspect.signature(behave).parameters
    stopped = threading.Event()
    threads: list[threading.Thread] = []
    open_sockets: list[socket.socket] = []

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            request = connection.recv(65536)
            if takes_request:
                behave(connection, request)  # type: ignore[call-arg]  # by its signature
            else:
                behave(connection)  # type: ignore[call-arg]  # same

    def accept() -> None:
        while not stopped.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                connection.settimeout(5)
                open_sockets.append(connection)
                threads.append(threading.Thread(target=serve, args=(connection,)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.05)
        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopped.set()
            acceptor.join()
            for connection in open_sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def drip(connection: socket.socket, begin: bytes, drop: bytes, every: float) -> None:
    """Send a beginning, then the same bytes again and again until the other side closes."""
    connection.sendall(begin)
    while True:
        connection.sendall(drop)
        if every:
            time.sleep(every)

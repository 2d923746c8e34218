"""Small servers of tests, on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer
from threading import Thread


@contextmanager
def serve_in_thread(server: BaseServer) -> Iterator[None]:
    """Serve in a thread for the duration of the block, and close the server after it."""
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

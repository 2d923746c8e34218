"""A TCP proxy in front of PostgreSQL that delays every message, as a distance does, and counts statements."""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class PostgresProxy:
    """Forwards connections on a loopback port to PostgreSQL's socket."""

    def __init__(self, directory: Path, delay_ms: float) -> None:
        self.statements = 0
        self._target = f"{directory}/.s.PGSQL.5432"
        self._delay_seconds = delay_ms / 2_000  # in each direction
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            for arguments in ((client, server, self._statement_counter()), (server, client, None)):
                threading.Thread(target=self._forward, args=arguments, daemon=True).start()

    def _forward(
        self, source: socket.socket, target: socket.socket, count_statements: Callable[[bytes], None] | None
    ) -> None:
        try:
            while data := source.recv(1 << 16):
                if count_statements:
                    count_statements(data)
                time.sleep(self._delay_seconds)
                target.sendall(data)
        except OSError:
            pass
        finally:
            target.close()

    def _statement_counter(self) -> Callable[[bytes], None]:
        """Return what counts the messages Query and Parse in the bytes that a client sends. The first message has no type."""
        rest, is_started = b"", False

        def count(data: bytes) -> None:
            nonlocal rest, is_started
            rest += data
            while len(rest) >= (5 if is_started else 4):
                length = struct.unpack(">i", rest[1:5] if is_started else rest[:4])[0] + is_started
                if len(rest) < length:
                    return
                self.statements += is_started and rest[:1] in b"QP"
                # a request for encryption is answered before the startup message follows
                is_started = is_started or rest[4:8] not in (b"\x04\xd2\x16\x2f", b"\x04\xd2\x16\x30")
                rest = rest[length:]

        return count


@contextmanager
def postgres_proxy(directory: Path, delay_ms: float) -> Iterator[PostgresProxy]:
    """Run a proxy for the duration of the block."""
    proxy = PostgresProxy(directory, delay_ms)
    try:
        yield proxy
    finally:
        proxy.close()

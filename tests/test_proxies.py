"""Proxies and certificates of the environment, and proxies that refuse or fail."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from pipelines.errors import ApiRefusedError, ApiUnreachableError, SettingsError, TransientApiError
from pipelines.extract.client import ApiClient
from pipelines.transport.proxies import create_tls_context, find_proxy


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
            monkeypatch.delenv(name, raising=False)


API = httpx.URL("https://api.example.com/client/v4")


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_exempt"),
    [
        ("", "api.example.com", False),
        ("*", "api.example.com", True),
        ("example.com", "api.example.com", True),
        (".example.com", "api.example.com", True),
        ("*.example.com", "api.example.com", True),
        ("API.Example.COM", "api.example.com", True),
        ("api.example.com:443", "api.example.com", True),
        ("api.example.com:8443", "api.example.com", False),
        ("https://api.example.com", "api.example.com", True),
        ("ample.com", "api.example.com", False),
        ("a,b, example.com ,c", "api.example.com", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:443", "10.1.2.3", True),
        ("fd00::/8", "[fd12::1]", True),
        ("fd00::/8", "[2001:db8::1]", False),
        ("[2001:db8::1]", "[2001:db8::1]", True),
        ("[2001:db8::1]:443", "[2001:db8::1]", True),
        ("::1,fd00::/8,fe80::/10,127.0.0.1", "api.example.com", False),  # seen: "HTTPS_PROXY cannot be used"
        ("fd00::/8,example.com", "api.example.com", True),
        ("[,]],::::,/,999.1.1.1/77,\x00,.", "api.example.com", False),
    ],
)
def test_no_proxy_exempts_hosts(no_proxy: str, host: str, is_exempt: bool, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter of the test
    monkeypatch.setattr(
        "pipelines.transport.proxies.getproxies", lambda: {"https": "http://proxy.example:3128", "no": no_proxy}
    )
    assert (find_proxy(httpx.URL(f"https://{host}/x")) is None) == is_exempt


@pytest.mark.parametrize(
    ("variable", "value", "host"),
    [
        ("HTTPS_PROXY", "http://proxy.example:3128", "proxy.example"),
        ("https_proxy", "proxy.example:3128", "proxy.example"),
        ("ALL_PROXY", "http://user:word@proxy.example", "proxy.example"),
        ("HTTPS_PROXY", "https://proxy.example", "proxy.example"),
    ],
)
def test_https_uses_the_proxy_of_the_environment(
    variable: str, value: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    proxy = find_proxy(API)
    assert proxy is not None
    assert (proxy.url.host, proxy.variable) == (host, variable.upper())
    assert find_proxy(httpx.URL("http://127.0.0.1:8000/x")) is None


@pytest.mark.parametrize(
    "value", ["socks5://u:word@x:1", "ftp://x", "http://u:word@x:port", "http://", "://", "http://\x00"]
)
def test_an_unusable_proxy_is_a_settings_error_without_its_password(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.transport.proxies.getproxies", lambda: {"all": value})
    with pytest.raises(SettingsError, match="ALL_PROXY in the environment cannot be used") as raised:
        find_proxy(API)
    assert "word" not in str(raised.value).replace("PASSWORD", "")


@pytest.mark.parametrize("content", [None, b"", b"not PEM"])
def test_an_unusable_certificate_file_is_a_settings_error(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_bytes(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(SettingsError, match="SSL_CERT_FILE in the environment cannot be used"):
        create_tls_context()


# --- a proxy that answers -----------------------------------------------------------------------------------


@contextmanager
def proxy(status: str) -> Iterator[tuple[int, list[bytes]]]:
    """Answer each CONNECT with a status; yield the port and the requests received."""
    received: list[bytes] = []
    stopped = threading.Event()

    def serve() -> None:
        while not stopped.is_set():
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    received.append(connection.recv(65536))
                    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], received
        stopped.set()
        thread.join()


def client() -> ApiClient:
    return ApiClient(
        base_url="https://api.example.com/client/v4",
        account_id="a",
        token="token-0123456789",
        requests_per_second=0,
        concurrency=1,
        retry_pause_seconds=0.001,
    )


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("407 Proxy Authentication Required", "check user and password in HTTPS_PROXY"),
        ("403 Forbidden", "check HTTPS_PROXY"),
        ("400 Bad", "check HTTPS_PROXY"),
        ("302 Found", "check HTTPS_PROXY"),
    ],
)
def test_a_refusal_of_the_proxy_is_not_retried(status: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: a 407 was sent 35 times."""
    with proxy(status) as (port, received):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hidden-word@127.0.0.1:{port}")
        api = client()
        with pytest.raises(ApiRefusedError, match=remedy) as raised:
            api.get("/x", {})
        api.close()
    assert raised.value.status == int(status[:3])
    assert "hidden-word" not in str(raised.value)
    assert len(received) == 1
    assert received[0].startswith(b"CONNECT api.example.com:443 ")
    assert b"token-0123456789" not in received[0]


def test_a_proxy_that_fails_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    with proxy("502 Bad Gateway") as (port, received):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        api = client()
        with pytest.raises((TransientApiError, ApiUnreachableError), match="HTTPS_PROXY"):
            api.get("/x", {})
        api.close()
    assert 1 < len(received) <= 7


def test_an_unreachable_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    api = client()
    with pytest.raises(ApiUnreachableError, match="the proxy of HTTPS_PROXY"):
        api.get("/x", {})
    api.close()

"""The cause is named if a lakehouse cannot be opened: the password, the database, the bucket, the key."""

import signal
import socket
import time
from pathlib import Path

import pytest
from pydantic import SecretStr

from pipelines.errors import SettingsError, WarehouseError
from pipelines.storage.extensions import connect_with_extensions, find_extension
from pipelines.storage.postgres import Catalog, advisory_lock, try_advisory_lock
from pipelines.storage.s3 import check_files_reachable
from tests.postgres import Postgres
from tests.raw_server import raw_server


@pytest.fixture(scope="module")
def role_with_password(postgres: Postgres) -> str:
    """Create a role that this server lets in with a password only."""
    postgres.execute("CREATE ROLE locked LOGIN PASSWORD 'right-hush'")
    rules = postgres.directory / "data" / "pg_hba.conf"
    rules.write_text(f"local all locked scram-sha-256\n{rules.read_text()}")
    postgres.execute("SELECT pg_reload_conf()")
    return "locked"


@pytest.mark.parametrize(
    ("changed", "cause", "remedy"),
    [
        (
            "user={role} password=wrong-hush",
            "password authentication failed",
            "correct the password in LIVEHOUSE_WAREHOUSE",
        ),
        ("user={role}", "no password supplied", "correct the password in LIVEHOUSE_WAREHOUSE"),
        ("dbname=nowhere", 'database "nowhere" does not exist', "create it as deploy/postgres/roles.sql does"),
        ("user=nobody", 'role "nobody" does not exist', "create it as deploy/postgres/roles.sql does"),
        ("host=no-such-host.invalid", "no-such-host.invalid", "correct host in LIVEHOUSE_WAREHOUSE"),
        ("host=/nowhere", "/nowhere", "start PostgreSQL"),
    ],
)
def test_what_postgresql_refuses_is_named(
    postgres: Postgres, role_with_password: str, changed: str, cause: str, remedy: str
) -> None:
    address = f"{postgres.conninfo('postgres')} {changed.format(role=role_with_password)}"
    deadline = time.monotonic() + 10
    while True:
        try:
            Catalog(SecretStr(address)).connect().close()  # until the server has read its file again
        except WarehouseError as error:
            message = str(error)
            break
        assert time.monotonic() < deadline
    assert cause in message
    assert remedy in message
    assert "hush" not in message
    assert "\n" not in message


def reply(connection: socket.socket, status: str, code: str) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()
    connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)


@pytest.mark.parametrize(
    ("status", "code", "remedy"),
    [
        ("404 Not Found", "NoSuchBucket", "there is no bucket files: create it, or correct LIVEHOUSE_DATA_PATH"),
        ("403 Forbidden", "InvalidAccessKeyId", "the service refused the key: correct AWS_ACCESS_KEY_ID"),
        ("403 Forbidden", "AccessDenied", "the key may not list bucket files"),
        (None, "", "the S3 service cannot be reached: correct AWS_ENDPOINT_URL_S3"),
    ],
)
def test_what_s3_refuses_is_named(
    status: str | None, code: str, remedy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # without anybody's stored secrets
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    requests: list[bytes] = []

    def behave(connection: socket.socket, request: bytes) -> None:
        requests.append(request)
        reply(connection, status or "", code)

    with raw_server(behave) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port if status else 1}/")
        with connect_with_extensions([find_extension("httpfs")]) as connection:
            connection.execute("SET http_retries = 0")
            with pytest.raises(WarehouseError) as raised:
                check_files_reachable(connection, "s3://files/lake")
    assert remedy in str(raised.value)
    assert "hush" not in str(raised.value)
    if status:
        assert requests[0].startswith(b"GET /files/?"), "the bucket is part of the path"


@pytest.mark.parametrize("address", ["minio:9000", "ftp://minio", "http://", "https://minio/bucket", "http://u@minio"])
def test_a_malformed_address_of_the_service_is_named(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(SettingsError, match="AWS_ENDPOINT_URL is malformed: it takes https://HOST") as raised:
        connect_with_extensions([find_extension("httpfs")])
    assert address not in str(raised.value)


class Interrupt(BaseException):
    """As Dagster's, which psycopg does not know: it leaves the statement running."""


@pytest.mark.parametrize("moment", ["while it waits for the lock", "while it holds the lock"])
def test_an_interrupt_is_not_replaced_by_an_error_of_the_session(postgres: Postgres, moment: str) -> None:
    """Seen: the run that was stopped went on with its next steps, and failed at each."""

    def interrupt(*_: object) -> None:
        raise Interrupt

    catalog = Catalog(SecretStr(postgres.conninfo("postgres")))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with catalog.connect() as holder, pytest.raises(Interrupt), catalog.connect() as session:
            if moment == "while it waits for the lock":
                assert try_advisory_lock(holder, moment)
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with advisory_lock(session, moment, wait_seconds=60, log=lambda _: None):
                session.execute("SELECT pg_sleep(60)")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

"""PostgreSQL and nginx, started with the files of `deploy/`: connections and requests that must be refused are."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from pipelines.errors import WarehouseError
from pipelines.storage.ducklake_warehouse import DuckLakeWarehouse
from pipelines.storage.sandbox import run_query
from tests.ui.serving import free_port, served

DEPLOY = Path(__file__).parents[2] / "deploy"
PASSWORDS = {"LIVEHOUSE_PASSWORD": "hush-1", "LIVEHOUSE_READER_PASSWORD": "hush-2", "DAGSTER_PASSWORD": "hush-3"}

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of certificates that make-certificates.sh writes."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    directory = tmp_path_factory.mktemp("certificates")
    directory.chmod(0o755)
    shutil.copy(DEPLOY / "make-certificates.sh", directory)
    subprocess.run([directory / "make-certificates.sh", "10.0.0.5", "ui.test"], check=True, capture_output=True)
    assert (directory / "tls" / "server.key").stat().st_mode & 0o777 == 0o600
    return directory / "tls"


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def compose_postgres(certificates: Path, directory: Path, port: int) -> Iterator[Path]:
    """Start PostgreSQL as compose.yaml does; yield its socket directory. Uses Debian's binaries: those of wheels lack TLS."""
    programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
    if programs is None or shutil.which("psql") is None or os.geteuid() != 0:
        pytest.skip("Debian's PostgreSQL is not installed, or this user may not switch to another one")
    for name in ("server.crt", "server.key"):
        shutil.copy(certificates / name, directory)
    shutil.copy(DEPLOY / "postgres" / "pg_hba.conf", directory)
    # peer authentication uses the operating system's user, which is postgres in the image
    for path in (directory, *directory.iterdir()):
        shutil.chown(path, "postgres")
    as_postgres: dict[str, Any] = {"user": "postgres", "cwd": directory}
    subprocess.run(
        [programs / "initdb", "-D", directory / "data", "-U", "postgres", "--no-sync"],
        check=True,
        capture_output=True,
        **as_postgres,
    )
    options = {
        "ssl": "on",
        "ssl_cert_file": directory / "server.crt",
        "ssl_key_file": directory / "server.key",
        "hba_file": directory / "pg_hba.conf",
        "listen_addresses": "127.0.0.1",
        "port": port,
        "fsync": "off",
        "unix_socket_directories": directory,
    }
    command: list[str | Path] = [
        programs / "postgres",
        "-D",
        directory / "data",
        *(f"-c{name}={value}" for name, value in options.items()),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **as_postgres)
    try:
        wait_for(port, process)
        roles = directory / "roles.sql"
        shutil.copy(DEPLOY / "postgres" / "roles.sql", roles)
        psql: list[str | Path] = ["psql", "-X", "-q", "-h", directory, "-p", f"{port}", "-f", roles]
        subprocess.run(psql, env=os.environ | PASSWORDS, check=True, capture_output=True, **as_postgres)
        yield directory
    finally:
        process.terminate()
        process.wait(60)


def test_postgres_accepts_tls_only_and_limits_each_role_to_its_database(
    certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    psycopg = pytest.importorskip("psycopg", reason="the extra `lakehouse` is not installed")
    port = free_port()
    with (
        tempfile.TemporaryDirectory(prefix="livehouse-postgres-") as directory,  # pytest's are closed to other users
        compose_postgres(certificates, Path(directory), port),
    ):
        verified = f"host=localhost port={port} sslmode=verify-full sslrootcert={certificates / 'ca.crt'}"
        runs = f"{verified} dbname=livehouse user=livehouse"
        readers = f"{verified} dbname=livehouse user=livehouse_reader password=hush-2"
        monkeypatch.setenv("PGPASSWORD", "hush-1")
        lake = DuckLakeWarehouse(SecretStr(runs), None, tmp_path, readers=SecretStr(readers))
        with lake.open_working() as connection:
            connection.execute("INSERT INTO ops.loads (run_id) SELECT 'r' FROM range(1000)")
        with lake.open_published() as connection:
            assert run_query(connection, "SELECT count(*) FROM ops.loads").fetchall() == [(1000,)]
        for refused in (
            runs.replace("sslmode=verify-full", "sslmode=disable"),
            runs.replace("host=localhost", "host=127.0.0.1").replace(
                f"{certificates / 'ca.crt'}", f"{tmp_path / 'none'}"
            ),
            f"{verified} dbname=postgres user=postgres password=hush-1",
            f"{verified} dbname=livehouse user=dagster password=hush-3",
            f"{verified} dbname=dagster user=livehouse_reader password=hush-2",
            f"{verified} dbname=livehouse user=livehouse_reader password=wrong",
        ):
            with (
                pytest.raises(WarehouseError) as raised,
                DuckLakeWarehouse(SecretStr(refused), None, tmp_path).open_published(),
            ):
                pass
            assert "hush" not in str(raised.value)
        with psycopg.connect(f"{verified} dbname=dagster user=dagster password=hush-3") as session:
            session.execute("CREATE TABLE runs (i INTEGER)")


@contextmanager
def compose_nginx(certificates: Path, directory: Path, port: int, behind: int) -> Iterator[None]:
    """Start nginx with the template of the proxy, filled in as its image does."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("nginx is not installed: Debian's package nginx-light")
    template = (DEPLOY / "proxy" / "ui.conf.template").read_text()
    filled = template.replace("${UI_HOST}", "ui.test").replace("${UI_PORT}", f"{port}")
    filled = filled.replace("/tls/server.crt", f"{certificates / 'server.crt'}")
    filled = filled.replace("/tls/server.key", f"{certificates / 'proxy.key'}")
    filled = filled.replace("8443", f"127.0.0.1:{port}").replace("webserver:3000", f"127.0.0.1:{behind}")
    hashed = subprocess.run(["openssl", "passwd", "-apr1", "hush"], check=True, capture_output=True, text=True).stdout
    (directory / "htpasswd").write_text(f"ada:{hashed}")
    filled = filled.replace("/etc/nginx/htpasswd", f"{directory / 'htpasswd'}")
    paths = "".join(
        f"{kind}_temp_path {directory / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (directory / "nginx.conf").write_text(
        f"{user} daemon off; pid {directory / 'pid'}; error_log {directory / 'log'};\n"
        f"events {{}} http {{ access_log off; {paths}\n{filled}\n}}"
    )
    command: list[str | Path] = [program, "-c", directory / "nginx.conf", "-e", directory / "log"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_the_proxy_requires_a_login_and_forwards_same_origin_requests_only(certificates: Path, tmp_path: Path) -> None:
    reached: list[str] = []

    async def page(request: Request) -> PlainTextResponse:
        reached.append(f"{request.method} {request.url.path} {request.headers.get('authorization')}")
        return PlainTextResponse("figures", headers={"Access-Control-Allow-Origin": "*"})

    port, behind = free_port(), free_port()
    host = f"ui.test:{port}"
    app = Starlette(routes=[Route("/{path:path}", page, methods=["GET", "POST", "PUT"])])
    with served(app, behind), compose_nginx(certificates, tmp_path, port, behind):
        trusted = ssl.create_default_context(cafile=certificates / "ca.crt")
        json = {"content-type": "application/json"}
        tried: list[tuple[int, str, str, dict[str, str]]] = [
            (200, "GET", "/", {}),
            (200, "GET", "/graphql", {}),
            (200, "POST", "/graphql", json),
            (200, "POST", "/graphql", {"content-type": "application/json; charset=utf-8", "origin": f"https://{host}"}),
            (200, "GET", "/runs?a=b", {"sec-fetch-site": "none"}),
            (421, "GET", "/", {"host": "evil.test"}),
            (421, "GET", "/", {"host": f"127.0.0.1:{port}"}),
            (403, "GET", "/", {"origin": "https://evil.test"}),
            (403, "GET", "/", {"origin": "null"}),
            (403, "POST", "/graphql", json | {"origin": f"https://{host}.evil.test"}),
            (403, "GET", "/", {"sec-fetch-site": "cross-site"}),
            (403, "GET", "/", {"sec-fetch-site": "same-site"}),
            (403, "GET", "/graphql", {"upgrade": "websocket", "connection": "upgrade", "origin": "https://evil.test"}),
            (405, "GET", "/graphql?query=mutation{x}", {}),
            (405, "GET", "/graphql/?query=mutation{x}", {}),
            (405, "PUT", "/graphql", json),
            (405, "OPTIONS", "/graphql", {}),
            (415, "POST", "/graphql", {"content-type": "text/plain"}),
            (415, "POST", "/graphql", {"content-type": "application/x-www-form-urlencoded"}),
            (415, "POST", "/graphql", {"content-type": "application/jsonp"}),
            (415, "POST", "/graphql", {}),
        ]
        with httpx.Client(base_url=f"https://localhost:{port}", verify=trusted) as client:
            for status, method, path, headers in tried:
                reached.clear()
                answer = client.request(method, path, headers={"host": host} | headers, auth=("ada", "hush"))
                assert (answer.status_code, len(reached)) == (status, int(status == 200)), (method, path, headers)
                assert answer.headers["x-frame-options"] == "DENY"
                assert "access-control-allow-origin" not in answer.headers
                assert not [line for line in reached if "Basic" in line], "the proxy must not forward its password"
            reached.clear()
            for wrong in (None, ("ada", "wrong"), ("bob", "hush")):
                assert client.get("/", headers={"host": host}, auth=wrong).status_code == 401
            assert reached == []


def test_images_are_pinned_by_the_digests_of_the_registry(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "pin-images.sh", tmp_path)
    digest = f"sha256:{'0123456789abcdef' * 4}"
    (tmp_path / "docker").write_text(f"#!/bin/sh\necho {digest}\n")
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / ".env").write_text("REDIS_PASSWORD=hush\nREDIS_IMAGE=redis:1@sha256:old\n")
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for _ in range(2):
        subprocess.run([tmp_path / "pin-images.sh"], env=environment, check=True)
    lines = (tmp_path / ".env").read_text().splitlines()
    assert lines[0] == "REDIS_PASSWORD=hush"
    assert len(lines) == 5
    assert all(re.fullmatch(rf"[A-Z]+_IMAGE=[\w/.:-]+@{digest}", line) for line in lines[1:])
    (tmp_path / "docker").write_text("#!/bin/sh\necho nothing\n")
    done = subprocess.run([tmp_path / "pin-images.sh"], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no digest" in done.stderr
    assert (tmp_path / ".env").read_text().splitlines() == lines

"""The services in `deploy/` have no more privileges, secrets and open ports than they need."""

import fnmatch
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml
from packaging.requirements import Requirement

from pipelines.settings.reader_settings import SECRETS_OF_RUNS

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
VALUES = yaml.safe_load((DEPLOY / "values.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_cannot_gain_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not service.get("privileged")
    assert not [volume for volume in service.get("volumes", []) if "docker.sock" in volume]
    assert not [
        volume for volume in service.get("volumes", []) if volume.startswith("./") and not volume.endswith(":ro")
    ]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_limited_and_its_health_is_known(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["logging"]["options"]["max-size"]
    assert re.fullmatch(r"\d+:\d+", service.get("user", "0:0")), "runAsNonRoot refuses a name"
    assert name == "reader" or service["healthcheck"]["test"]
    needs = service.get("depends_on", {})
    assert all(one["condition"] == "service_healthy" for one in needs.values())
    # They may be on another machine.
    assert all(needs[other]["required"] is False for other in needs.keys() & {"postgres", "broker"})


@pytest.mark.long
def test_the_compose_file_is_valid() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        f"{DEPLOY / 'compose.yaml'}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


ALLOWED = {
    "postgres": {"POSTGRES_PASSWORD", "LIVEHOUSE_PASSWORD", "LIVEHOUSE_READER_PASSWORD", "DAGSTER_PASSWORD"},
    "broker": {"REDIS_PASSWORD"},
    "code": {
        *("DAGSTER_PASSWORD", "REDIS_PASSWORD", "LIVEHOUSE_ALERT_WEBHOOK", "LIVEHOUSE_ALERT_SECRET"),
        *("LIVEHOUSE_OTLP_HEADERS", "LIVEHOUSE_HEARTBEAT_URL"),
    },
    "webserver": {"DAGSTER_PASSWORD", "REDIS_PASSWORD"},
    "daemon": {"DAGSTER_PASSWORD", "REDIS_PASSWORD"},
    "proxy": set(),
    "worker": {
        *(
            "DAGSTER_PASSWORD",
            "REDIS_PASSWORD",
            "CLOUDFLARE_API_TOKEN",
            "LIVEHOUSE_PASSWORD",
            "LIVEHOUSE_ALERT_WEBHOOK",
            "LIVEHOUSE_ALERT_SECRET",
        ),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    },
    "reader": {"LIVEHOUSE_READER_PASSWORD", "LIVEHOUSE_READER_ACCESS_KEY_ID", "LIVEHOUSE_READER_SECRET_ACCESS_KEY"},
}
IS_SECRET = re.compile("PASSWORD|TOKEN|WEBHOOK|ACCESS_KEY|SECRET|HEADERS|HEARTBEAT")


def test_every_secret_of_runs_has_its_place_outside_of_the_settings_of_all_services() -> None:
    """Seen: the headers for a collector could be set in settings.env only, which readers get too."""
    passed = {variable for allowed in ALLOWED.values() for variable in allowed}
    named = set(re.findall(r"^#?(\w+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert passed & named >= SECRETS_OF_RUNS


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gets_only_the_secrets_it_needs(name: str) -> None:
    service = SERVICES[name]
    taken = set(re.findall(r"\$\{(\w+)", yaml.safe_dump(service)))
    assert {variable for variable in taken if IS_SECRET.search(variable)} == ALLOWED[name]
    assert service.get("env_file") in (None, "settings.env"), "`.env` has the secrets of all services"
    in_command = [
        part for part in service.get("command", []) if re.search(r"(?<!\$)\$\{?\w*(PASSWORD|TOKEN|KEY)", part)
    ]
    assert in_command == [], "every user of the machine can read arguments"


def test_every_image_is_pinned_by_digest() -> None:
    script = (DEPLOY / "pin-images.sh").read_text()
    pinned = set(re.findall(r"^([A-Z]+_IMAGE) \S+:\S+$", script, re.MULTILINE))
    assert 'echo "$variable=$image@$digest"' in script
    used = {service["image"] for service in SERVICES.values()} | {
        COMPOSE["x-livehouse"]["build"]["args"]["PYTHON_IMAGE"]
    }
    ours = {image for image in used if image.startswith("livehouse:")}
    assert {re.sub(r"\W", "", image.partition(":?")[0]) for image in used - ours} == pinned
    assert re.findall(r"^FROM (.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE) == ["${PYTHON_IMAGE}"]
    assert re.search(r"^USER \d+:\d+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE), (
        "runAsNonRoot refuses a name"
    )
    [deployment] = VALUES["dagster-user-deployments"]["deployments"]
    assert "@sha256:" in deployment["image"]["tag"]


def test_services_connect_to_postgres_over_tls_as_unprivileged_roles() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    for address in re.findall(r'"((?:ducklake:postgres:|postgresql\+psycopg2:)[^"]+)"', text):
        assert "sslmode=verify-full" in address
        assert re.search(r"(user=|//)(livehouse|livehouse_reader|dagster)\b", address)
    assert "POSTGRES_USER" not in SERVICES["postgres"]["environment"], "livehouse was the superuser of its cluster"
    lines = [
        line.split() for line in (DEPLOY / "postgres" / "pg_hba.conf").read_text().splitlines() if line[:1].isalpha()
    ]
    assert {line[0] for line in lines if line[2] != "postgres"} == {"hostssl"}
    assert [line[0] for line in lines if line[2] in ("postgres", "all")] == ["local"]
    assert VALUES["postgresql"]["postgresqlUsername"] == "dagster"
    assert VALUES["postgresql"]["postgresqlParams"]["sslmode"] == "verify-full"


def test_a_run_reconnects_to_postgres_before_it_is_taken_for_dead() -> None:
    """After a failover, packets to the old address may vanish: libpq alone waits for a quarter of an hour."""
    extensions = pytest.importorskip("psycopg2.extensions", reason="the extra `deploy` is not installed")
    [url] = re.findall(r'DAGSTER_POSTGRES_URL: "([^"]+)"', (DEPLOY / "compose.yaml").read_text())
    of_compose = dict(parse_qsl(url.rpartition("?")[2]))
    for options in (of_compose, VALUES["postgresql"]["postgresqlParams"]):
        assert extensions.make_dsn(**options), "libpq knows them"
        is_dead_after = int(options["tcp_user_timeout"]) / 1000
        is_silent_after = int(options["keepalives_idle"]) + int(options["keepalives_interval"]) * int(
            options["keepalives_count"]
        )
        assert max(is_dead_after, is_silent_after) + int(options["connect_timeout"]) <= 90


def test_pods_cannot_gain_privileges_and_only_runs_get_the_token() -> None:
    [deployment] = VALUES["dagster-user-deployments"]["deployments"]
    launcher = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    contexts = [deployment["securityContext"], launcher["runK8sConfig"]["containerConfig"]["securityContext"]]
    assert all(context["readOnlyRootFilesystem"] for context in contexts)
    for context in (
        *contexts,
        VALUES["dagsterWebserver"]["securityContext"],
        VALUES["dagsterDaemon"]["securityContext"],
    ):
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
    for pod in (deployment["podSecurityContext"], launcher["runK8sConfig"]["podSpecConfig"]["securityContext"]):
        assert pod["runAsNonRoot"] is True
    assert not {one["name"] for one in deployment["envSecrets"]} & {one["name"] for one in launcher["envSecrets"]}
    assert VALUES["ingress"]["annotations"]["nginx.ingress.kubernetes.io/auth-url"].startswith("https://")


def test_the_build_context_has_no_secrets_and_no_data() -> None:
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    copied = re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert sorted(" ".join(copied).split()) == sorted(allowed)
    for secret in (".env", "deploy/.env", "data/warehouse.duckdb", ".git/config", "deploy/tls/ca.key"):
        assert not [name for name in allowed if secret == name or fnmatch.fnmatch(secret, f"{name}/*")]
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/.env", "deploy/settings.env", "deploy/tls/ca.key", "deploy/proxy/htpasswd"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert len(ignored.stdout.splitlines()) == 4, "secrets of a deployment must not be committed"


def collect_dependencies(name: str, extras: set[str], found: dict[str, set[str]]) -> None:
    """Add to `found` every distribution that a distribution needs, with its extras."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    if found.get(key, set()) >= extras | {""}:
        return
    found.setdefault(key, set()).update(extras | {""})
    try:
        requires = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in requires:
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in found[key]):
            collect_dependencies(needed.name, needed.extras, found)


@pytest.mark.long
def test_every_copyleft_binary_has_a_notice() -> None:
    pytest.importorskip("dagster_k8s", reason="the extra `deploy` is not installed")
    found: dict[str, set[str]] = {}
    collect_dependencies("livehouse", {"lakehouse", "deploy"}, found)
    assert len(found) > 80
    notice = (DEPLOY / "NOTICE").read_text()
    for name in found:
        try:
            about = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        classifiers = [text for text in about.get_all("Classifier") or [] if text.startswith("License")]
        named = [str(text)[:80] for field in ("License-Expression", "License") for text in about.get_all(field) or []]
        licences = " ".join([*named, *classifiers])
        if re.search("GPL|MPL|Mozilla|EPL|CDDL", licences):
            assert re.search(rf"(^|\s){name}\b", notice, re.MULTILINE), f"{name}: {licences}"

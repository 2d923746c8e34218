"""The files in `deploy/` are valid for Dagster: one history on a real PostgreSQL, and runs that any worker executes."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.simulator.server import Simulator
from tests.deploy.topology import running_topology
from tests.pipeline_runner import LAST, assert_matches_world, environment_for, settings_for
from tests.postgres import Postgres
from tests.promises.world_factory import tiny_world

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text())


def variables_read(found: Any) -> set[str]:
    """Return every variable that one of Dagster's files reads from the environment."""
    if isinstance(found, dict):
        if set(found) == {"env"}:
            return {found["env"]}
        return set().union(*(variables_read(value) for value in found.values()))
    return set()


def test_secrets_come_from_the_environment_only() -> None:
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    composed = (DEPLOY / "compose.yaml").read_text()
    given = set(re.findall(r"^ +([A-Z_]+): ", composed, re.MULTILINE))
    image = set(re.findall(r"([A-Z_]+)=/", (DEPLOY / "Dockerfile").read_text()))
    assert variables_read(read("dagster.yaml")) <= given | image
    pinned = set(re.findall(r"^([A-Z]+_IMAGE) ", (DEPLOY / "pin-images.sh").read_text(), re.MULTILINE))
    assert set(re.findall(r"\$\{(\w+)", composed)) - {"LIVEHOUSE_VERSION"} == example.keys() | pinned
    assert [name for name in example if re.search("PASSWORD$|TOKEN|KEY", name) and example[name]] == []


def test_the_image_contains_everything_in_the_wheel() -> None:
    wheel = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"COPY (?:--\S+ )?(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert {*wheel["only-include"], *wheel["force-include"]} <= set(" ".join(copied).split())


def test_files_and_volumes_of_the_compose_file_exist() -> None:
    compose = read("compose.yaml")
    copied = re.findall(r"COPY (?:--\S+ )?(.+) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    for source in " ".join(copied).split():
        assert (PROJECT / source).exists(), source
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", [])) <= compose["services"].keys()
        volumes = {volume.split(":")[0] for volume in service.get("volumes", [])}
        of_files = {volume for volume in volumes if volume.startswith("./")}
        assert volumes - of_files <= compose["volumes"].keys()
        made = {"./proxy/htpasswd"} | {volume for volume in of_files if volume.startswith("./tls/")}
        assert [volume for volume in of_files - made if not (DEPLOY / volume).exists()] == []
        for argument in service.get("command", []):
            if argument.startswith("dagster/"):
                assert (DEPLOY / argument.removeprefix("dagster/")).exists(), f"{name}: {argument}"
        exposed = [
            port for port in service.get("ports", []) if not re.match(r"\$\{(UI_)?LISTEN:-127\.0\.0\.1\}:", port)
        ]
        assert exposed == [], f"{name} listens on every interface"


def test_the_chart_uses_the_secrets_of_the_readme() -> None:
    values = read("values.yaml")
    [deployment] = values["dagster-user-deployments"]["deployments"]
    assert values["runLauncher"]["type"] == "K8sRunLauncher"
    assert values["generatePostgresqlPasswordSecret"] is False
    assert values["postgresql"]["postgresqlScheme"] == "postgresql+psycopg2"
    assert deployment["dagsterApiGrpcArgs"][1] == "pipelines.definitions"
    readme = (DEPLOY / "README.md").read_text()
    launcher = values["runLauncher"]["config"]["k8sRunLauncher"]
    named = [one["name"] for one in (*deployment["envSecrets"], *launcher["envSecrets"])]
    assert f"configmap {deployment['envConfigMaps'][0]['name']} " in readme
    for secret in (values["global"]["postgresqlSecretName"], *named):
        assert f"secret generic {secret} " in readme


@pytest.mark.long
@pytest.mark.timeout(400)
def test_workers_execute_runs_and_share_one_history(postgres: Postgres, lake: str, tmp_path: Path) -> None:
    pytest.importorskip("dagster_celery", reason="the extra `deploy` is not installed")
    pytest.importorskip("dagster_postgres", reason="the extra `deploy` is not installed")
    with Simulator(tiny_world()) as simulator:
        environment = environment_for(
            simulator, tmp_path, LIVEHOUSE_WAREHOUSE=lake, LIVEHOUSE_DATA_PATH=f"{tmp_path / 'files'}"
        )
        with running_topology(postgres, tmp_path, environment) as services:
            services.start_worker("worker1")
            services.start_worker("worker2")
            services.start_daemon()
            for _ in range(2):
                services.launch("nightly", (LAST, LAST))
            services.wait_for(lambda: services.statuses() == ["SUCCESS", "SUCCESS"])
            events = postgres.execute("SELECT count(*) FROM event_logs", services.database)
            assert int(str(events[0][0])) > 100
        settings = settings_for(simulator, tmp_path / "reader", LIVEHOUSE_WAREHOUSE=lake)
        assert_matches_world(settings, simulator.world, (LAST, LAST))
    written = [file for home in services.homes.values() for file in home.rglob("*") if file.is_file()]
    assert [file for file in [*written, *tmp_path.glob("*.log")] if b"hush-hush-9" in file.read_bytes()] == []
    for home in services.homes.values():
        # Dagster also makes two empty directories for telemetry, and does without them on the read-only image.
        files = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
        assert {path.parts[0] for path in files} <= {"dagster.yaml", "data"}, "the image is read-only"
        assert not list(home.glob("history/**/*.db")), "the history must be in PostgreSQL only"

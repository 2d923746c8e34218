"""The files in `deploy/` are valid for Dagster: one history on a real PostgreSQL, and runs that any worker executes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.orchestration.resources import RANGE_END, RANGE_START
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import LAST, assert_matches_world, environment_for, settings_for
from tests.postgres import Postgres
from tests.promises.world_factory import tiny_world

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"
BIN = Path(sys.executable).parent


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


@contextmanager
def servers(environment: dict[str, str], home: Path, commands: dict[str, list[str]]) -> Iterator[None]:
    """Run programs, each with a log; kill them with their children at the end."""
    with ExitStack() as stack:
        for name, command in commands.items():
            log = stack.enter_context((home / f"{name}.log").open("wb"))
            process = subprocess.Popen(
                [BIN / command[0], *command[1:]],
                env=environment,
                cwd=home,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
        yield


@pytest.mark.long
def test_workers_execute_runs_and_share_one_history(postgres: Postgres, lake: str, tmp_path: Path) -> None:
    pytest.importorskip("dagster_celery", reason="the extra `deploy` is not installed")
    pytest.importorskip("dagster_postgres", reason="the extra `deploy` is not installed")
    database = postgres.new_database().rpartition("=")[2]
    reached = f"postgresql+psycopg2://postgres:hush-hush-9@/{database}?host={postgres.directory}"
    homes = {name: tmp_path / name for name in ("controller", "worker1", "worker2")}
    for home in homes.values():
        home.mkdir()
        (home / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
    with Simulator(tiny_world()) as simulator:
        shared = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LIVEHOUSE_")},
            "DAGSTER_POSTGRES_URL": reached,
            # kombu and celery have SQLAlchemy transports, so this PostgreSQL is the broker too.
            "CELERY_BROKER_URL": f"sqla+{reached}",
            "CELERY_RESULT_BACKEND": f"db+{reached}",
            "PYTHONPATH": f"{PROJECT}",
            "PATH": f"{BIN}:{os.environ['PATH']}",
        }
        at = {
            name: shared
            | environment_for(
                simulator, home / "data", LIVEHOUSE_WAREHOUSE=lake, LIVEHOUSE_DATA_PATH=f"{tmp_path / 'files'}"
            )
            | {"DAGSTER_HOME": f"{home}"}
            for name, home in homes.items()
        }
        worker = read("compose.yaml")["services"]["worker"]["command"]
        launch = ["dagster", "job", "launch", "-m", "pipelines.definitions", "-j"]
        tags = {RANGE_START: f"{LAST}", RANGE_END: f"{LAST}"}
        with (
            servers(at["worker1"], homes["worker1"], {"worker": [*worker, "-n", "one@%h"]}),
            servers(at["worker2"], homes["worker2"], {"worker": [*worker, "-n", "two@%h"]}),
            servers(
                at["controller"],
                homes["controller"],
                {"daemon": ["dagster-daemon", "run", "-m", "pipelines.definitions"]},
            ),
        ):
            for job in ("nightly", "nightly"):
                subprocess.run(
                    [BIN / launch[0], *launch[1:], job, "--tags", json.dumps(tags)],
                    env=at["controller"],
                    cwd=homes["controller"],
                    check=True,
                )
            deadline = time.monotonic() + 200
            wanted = "SELECT status FROM runs"
            while {"SUCCESS"} != {status for (status,) in postgres.execute(wanted, database)}:
                assert time.monotonic() < deadline, postgres.execute(wanted, database)
                assert ("FAILURE",) not in postgres.execute(wanted, database)
                time.sleep(0.5)
        assert postgres.execute("SELECT count(*) FROM runs", database) == [(2,)]
        assert int(str(postgres.execute("SELECT count(*) FROM event_logs", database)[0][0])) > 100
        settings = settings_for(simulator, tmp_path / "reader", LIVEHOUSE_WAREHOUSE=lake)
        assert_matches_world(settings, simulator.world, (LAST, LAST))
    written = [file for home in homes.values() for file in home.rglob("*") if file.is_file()]
    assert [file for file in written if b"hush-hush-9" in file.read_bytes()] == []
    for home in homes.values():
        logs = {f"{name}.log" for name in ("worker", "daemon")}
        assert {path.name for path in home.iterdir()} <= {"dagster.yaml", "data", *logs}, "the image is read-only"
    for name in ("worker1", "worker2"):
        assert not list((homes[name]).glob("history/**/*.db")), "the history must be in PostgreSQL only"

"""`livehouse doctor --json` can be pasted into a public issue: it names no account, machine, user, path or secret."""

import getpass
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.doctor_json import redact
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import environment_for, small_world
from tests.promises.fault_runner import run_cli


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(small_world(apps=("aula",), livestreams=2, sessions=3)) as served:
        yield served


def examine(environment: dict[str, str], status: int) -> tuple[dict[str, Any], str]:
    found, out, err = run_cli(environment, "doctor", "--json")
    assert (found, err) == (status, ""), out
    report: dict[str, Any] = json.loads(out)
    return report, out


def test_it_has_versions_settings_and_findings_and_identifies_nobody(simulator: Simulator, tmp_path: Path) -> None:
    environment = environment_for(simulator, tmp_path / "home of acme")
    report, out = examine(environment, 0)
    assert {"livehouse", "python", "platform", "libraries", "settings", "findings"} == set(report)
    assert {"dagster", "duckdb", "polars"} <= set(report["libraries"])
    assert {"CLOUDFLARE_API_TOKEN", "REALTIMEKIT_APP_ID", "LIVEHOUSE_HOME"} <= set(report["settings"])
    assert {finding["state"] for finding in report["findings"]} <= {"ok", "warning"}
    assert "app <REALTIMEKIT_APP_ID>" in {finding["subject"] for finding in report["findings"]}
    for secret in (
        "CLOUDFLARE_API_TOKEN",
        "CLOUDFLARE_ACCOUNT_ID",
        "REALTIMEKIT_APP_ID",
        "CLOUDFLARE_BASE_URL",
        "LIVEHOUSE_HOME",
    ):
        assert environment[secret] not in out, secret
    assert getpass.getuser() == "root" or getpass.getuser() not in out
    assert socket.gethostname() not in out
    assert str(Path.home()) not in out


@pytest.mark.parametrize(
    ("given", "status", "expected", "hidden"),
    [
        ({"REALTIMEKIT_APP_ID": "nobody"}, 1, "404: App not found", "nobody"),
        ({"CLOUDFLARE_API_TOKEN": "wrong-token-0123"}, 1, "the token is wrong, expired or revoked", "wrong-token-0123"),
        ({"CLOUDFLARE_BASE_URL": "https://acme-proxy.invalid/v4"}, 1, "unknown host", "acme-proxy"),
        ({"LIVEHOUSE_CONCURRENCY": "acme"}, 2, "LIVEHOUSE_CONCURRENCY is malformed", "acme"),
        ({"LIVEHOUSE_HOME": "/proc/acme"}, 1, "<LIVEHOUSE_HOME>", "acme"),
        (
            {"LIVEHOUSE_WAREHOUSE": "ducklake:postgres:host=db.acme.invalid port=1 dbname=acme_figures user=acme_ann password=acme-secret"},
            1,
            "lakehouse",
            "acme",
        ),
        ({"LIVEHOUSE_WAREHOUSE": "ducklake:postgres:postgresql://acme_ann:acme-secret@db.acme.invalid:1/acme_figures"}, 1, "lakehouse", "acme"),
        ({"LIVEHOUSE_WAREHOUSE": "ducklake:postgres:postgresql://acme_ann@127.0.0.1:1,127.0.0.1:2/x?application_name=acme"}, 1, "lakehouse", "acme"),
        ({"LIVEHOUSE_WAREHOUSE": "ducklake:postgres:dbname = 'acme figures' host = 127.0.0.1 port = 1 user = acme_ann"}, 1, "lakehouse", "acme"),
        ({"LIVEHOUSE_WAREHOUSE": "link.duckdb"}, 1, "is a link to <LIVEHOUSE_WAREHOUSE>, which does not exist", "acme"),
        ({"LIVEHOUSE_CUSTOMERS": "~/acme/customers.csv"}, 2, "(<LIVEHOUSE_CUSTOMERS>) cannot be read", "acme"),
        ({"LIVEHOUSE_CUSTOMERS": "./acme/customers.csv"}, 2, "(<LIVEHOUSE_CUSTOMERS>) cannot be read", "acme"),
        ({"LIVEHOUSE_ALLOWANCES": "customer.toml"}, 2, "customers.<name in LIVEHOUSE_ALLOWANCES> is no customer", "Acme"),
        ({"LIVEHOUSE_ALLOWANCES": "measure.toml"}, 2, "<name in LIVEHOUSE_ALLOWANCES> is unknown: it takes viewer_minutes", "acme"),
        ({"LIVEHOUSE_ALERTS": "~/rules.toml"}, 2, "rule <name in LIVEHOUSE_ALERTS>: a name has lower-case letters", "acme"),
    ],
)  # fmt: skip
def test_faults_keep_their_message_and_lose_names(
    given: dict[str, str],
    status: int,
    expected: str,
    hidden: str,
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    Path("link.duckdb").symlink_to("/nowhere/acme/warehouse.duckdb")
    Path("customer.toml").write_text('[customers."Acme TV"]\nviewer_minutes = {included = 10}\n')
    Path("measure.toml").write_text("[apps.aula]\nacme_minutes = {included = 10}\n")
    Path("rules.toml").write_text('[rules.acme-rule]\nwhy = "x"\nsql = "SELECT 1"\n')
    _, out = examine(environment_for(simulator, tmp_path / "home") | given, status)
    assert expected in out
    assert hidden not in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET /livestreams/live-7?page_no=2: 404", "GET /livestreams/<id>?page_no=2: 404"),
        ("/livestreams/sessions/5f-a: 500", "/livestreams/sessions/<id>: 500"),
        ("/analytics/livestreams/overall: 403", "/analytics/livestreams/overall: 403"),
        ("ann@example.org is not a member of 0123456789abcdef0123456789abcdef", "<email> is not a member of <id>"),
        ("id 3f2b1c9a-1111-2222-3333-444455556666", "id <id>"),
        ("refused by 10.1.2.3:443", "refused by <address>:443"),
        ("refused by [2001:db8::7:1]:443 at 02:45:00", "refused by [<address>]:443 at 02:45:00"),
        ("refused by ::1, port 1", "refused by ::1, port 1"),
        ("cannot write /home/ann/data/x", "cannot write ~/data/x"),
        ("app aula: aulas", "app <app>: aulas"),
    ],
)
def test_identifiers_are_recognized_by_their_form(text: str, expected: str) -> None:
    assert redact(text, {"aula": "<app>"}) == expected

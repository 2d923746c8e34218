"""Names, ids, messages and unknown fields are data: nothing interprets them, whatever they contain."""

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.report.page import write_report
from pipelines.simulator.faults import GROUPS, FaultInjector
from pipelines.simulator.server import Simulator
from tests.pipeline_runner import (
    DAYS,
    FIRST,
    assert_matches_world,
    environment_for,
    open_published,
    query,
    run_pipeline,
    settings_for,
)
from tests.promises.conftest import Serve
from tests.promises.fault_runner import run_cli, run_cli_process
from tests.promises.world_factory import tiny_world

NAMES = [
    "\x1b[2J\x1b]0;owned\x07\x1b[31mred",
    "\x9b31mC1",
    "<script>alert('x')</script>",
    "</script><img src=x onerror=alert(1)>",
    "'; DROP TABLE core.livestreams; --",
    "\"); COPY core.livestreams TO '/tmp/stolen'; --",
    "[red]markup[/red] [link=http://evil.example]click[/link] [/nothing]",
    "\u202etxt.exe",
    "=cmd|'/C calc'!A0",
    "{{7*7}} {% raise %} ${jndi:ldap://x}",
    "null",
    "",
    " \t\n\r ",
    "\u0000nul",
    "😀" * 500,
    "a\\u0000b\\",
    "x" * 100_000,
]
IDS = ["..", "../../etc/passwd", "a'b", 'a"b', "a b?c#d&e=f", "%2e%2e%2f", "ä/ö", "; DROP TABLE x", "$(id)", "-rf"]


def test_names_and_messages_are_never_interpreted(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), broken=False)
    for name in NAMES:
        stream = world.add_livestream("aula", name=name, created_at=world.now - timedelta(days=30))
        world.add_session(
            "aula", stream.id, created_at=world.now - timedelta(days=3), ingest_seconds=6.5, err_message=name
        )
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings)
    assert_matches_world(settings, world)
    names = {name for (name,) in query(settings, "SELECT DISTINCT name FROM core.livestreams")}
    assert names >= set(NAMES)
    given = environment_for(simulator, settings.home)
    for style in ("table", "json"):
        status, out, err = run_cli(given, "sql", "--format", style, "SELECT name FROM core.livestreams")
        assert status == 0
        if style == "json":
            assert {row["name"] for row in json.loads(out)} >= set(NAMES), "escaped, and complete"
        assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out + err) is None, style
        assert "\u202e" not in out
    with open_published(settings) as connection:
        page = write_report(connection, tmp_path / "report.html").read_text(encoding="utf-8")
    for name in NAMES[2:4]:
        assert name not in page


@pytest.mark.long
def test_ids_are_escaped_as_one_path_segment(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",), livestreams=len(IDS), sessions=30, broken=False)
    app = world.apps["aula"]
    for stream, hostile in zip(list(app.livestreams), IDS, strict=True):
        app.by_id[hostile] = app.by_id.pop(stream.id)
        stream.id = hostile
        for session in stream.sessions:
            session.livestream_id = hostile
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings)
    paths = {request.path for request in simulator.requests}
    root = f"/client/v4/accounts/{simulator.account_id}/realtime/kit/aula/"
    assert all(path.startswith(root) for path in paths), "no other path is ever requested"
    rows = query(settings, "SELECT livestream_id FROM core.livestreams ORDER BY livestream_id")
    assert [livestream_id for (livestream_id,) in rows] == sorted(IDS)
    assert not (tmp_path / "etc").exists()


@pytest.mark.long
@pytest.mark.parametrize("kind", GROUPS["strange"])
def test_unknown_fields_and_types_are_loaded_or_quarantined(kind: str, serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(broken=False)
    simulator = serve(Simulator(world))
    settings = settings_for(simulator, tmp_path / "home")
    run_pipeline(settings, run_id="before")
    simulator.service.faults = FaultInjector(rate=1.0, kinds=(kind,), max_consecutive=10**9)
    run_pipeline(settings, run_id="faulty", full=True)
    if kind == "unknown_fields":
        assert_matches_world(settings, world)
        seen = {field for (field,) in query(settings, "SELECT DISTINCT field FROM ops.field_types")}
        assert {"codec", "tags", "encoder"} <= seen
    if kind == "unknown_status":
        assert query(settings, "SELECT count(*) > 0 FROM core.livestreams WHERE status = 'HIBERNATING'") == [(True,)]
    if kind == "new_type":
        quarantined = query(settings, "SELECT DISTINCT field, reason FROM ops.quarantine")
        assert {field for field, _ in quarantined} <= {"name", "err_message"}
        assert quarantined
        assert query(settings, "SELECT count(*) FROM core.livestreams") == [(16,)], "the older record is kept"
    unbalanced = "SELECT * FROM ops.loads WHERE rows_received <> rows_landed + rows_quarantined + rows_duplicate"
    assert query(settings, unbalanced) == []
    simulator.service.faults = FaultInjector()
    run_pipeline(settings, run_id="after", full=True)
    assert_matches_world(settings, world)


@pytest.mark.long
def test_summary_and_report_contain_no_escape_sequences(serve: Serve, tmp_path: Path) -> None:
    world = tiny_world(apps=("aula",))
    for name in NAMES[:8]:
        stream = world.add_livestream("aula", name=name, created_at=world.now - timedelta(days=20))
        session = world.add_session("aula", stream.id, created_at=world.now - timedelta(days=3), err_message=name)
        world.break_record(session.id, "viewer_seconds", name)
    simulator = serve(Simulator(world))
    ran = run_cli_process(simulator, tmp_path / "home", "backfill", f"{FIRST}", f"{DAYS[1]}")
    assert ran.returncode == 0, ran.stderr
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", ran.stdout + ran.stderr) is None
    page = (tmp_path / "home" / "report.html").read_text(encoding="utf-8")
    assert "<script>alert('x')" not in page
    assert "<img src=x" not in page

"""The demo touches nothing but its own directory, whatever the environment and `.env` say."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from filelock import FileLock

from pipelines.cli.demo import demo_command
from pipelines.cli.demo_directory import MARKER, prepare_demo_directory
from pipelines.errors import AlreadyRunningError
from pipelines.settings.demo_settings import build_demo_environment, load_demo_settings
from pipelines.settings.settings import Settings
from pipelines.simulator.server import DEMO_APPS
from tests.promises.fault_runner import run_cli

HOSTILE = {
    "CLOUDFLARE_API_TOKEN": "production-token",
    "CLOUDFLARE_ACCOUNT_ID": "production",
    "REALTIMEKIT_APP_ID": "production-app",
    "CLOUDFLARE_BASE_URL": "https://production.invalid",
    "LIVEHOUSE_DATA_PATH": "s3://production/lake",
    "LIVEHOUSE_START_DATE": "tomorrow",
    "LIVEHOUSE_LOOKBACK_DAYS": "none",
    "LIVEHOUSE_CONCURRENCY": "many",
    "LIVEHOUSE_ALERT_WEBHOOK": "https://production.invalid/webhook",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "ALL_PROXY": "http://127.0.0.1:1",
    "DAGSTER_HOME": "/nowhere",
}
"""Settings that a demo must ignore; some are malformed, so that reading them would fail."""


def snapshot(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a production warehouse, and a `.env` that points to it and everywhere else."""
    place = tmp_path_factory.mktemp("user")
    with duckdb.connect(place / "production.duckdb") as connection:
        connection.execute("CREATE TABLE precious AS SELECT 1 AS x")
    given = HOSTILE | {"LIVEHOUSE_WAREHOUSE": f"{place}/production.duckdb", "LIVEHOUSE_HOME": "place"}
    (place / ".env").write_text("".join(f"{name}={text}\n" for name, text in given.items()))
    return place


@pytest.fixture(scope="module")
def first_demo(production: Path) -> tuple[dict[str, bytes], dict[str, bytes], str, str]:
    """The files before and after a demo in a directory, its output, and the change of the environment."""
    before, environment = snapshot(production), dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(production)
        patch.delenv("LIVEHOUSE_HOME", raising=False)
        status, out, err = run_cli({}, "demo", "--days", "1")
    assert status == 0, err
    assert dict(os.environ) == environment, "the program does not configure itself through the environment"
    return before, snapshot(production), out, err


@pytest.fixture
def demo(production: Path, first_demo: object, tmp_path: Path) -> Path:
    """A copy of the directory that the demo made, with the cache that it has without package data."""
    home = Path(shutil.copytree(production / "place" / "demo", tmp_path / "home" / "demo"))
    (home / "cache").mkdir(exist_ok=True)
    for name in ("lock", "marts.json", "charts-0123456789abcdef.json"):
        (home / "cache" / name).touch()
    return home


def test_no_setting_reaches_the_demo(
    production: Path, first_demo: tuple[dict[str, bytes], dict[str, bytes], str, str]
) -> None:
    before, after, _, _ = first_demo
    assert {name: after[name] for name in before} == before
    assert {Path(name).parts[:2] for name in after.keys() - before.keys()} == {("place", "demo")}
    with duckdb.connect(production / "place" / "demo" / "warehouse.duckdb", read_only=True) as connection:
        apps = connection.execute("SELECT DISTINCT app_id FROM core.livestreams").fetchall()
    assert {app for (app,) in apps} == set(DEMO_APPS)


def test_thirty_days_are_loaded_by_default() -> None:
    assert [parameter.default for parameter in demo_command.params if parameter.name == "days"] == [30]


def test_the_suggested_commands_show_the_demo(
    production: Path,
    first_demo: tuple[dict[str, bytes], dict[str, bytes], str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    [variables_typed] = re.findall(r"^Query it:  (.*?) \S*livehouse sql", first_demo[2], re.MULTILINE)
    given = dict(part.split("=", 1) for part in variables_typed.split())
    assert given == {
        "LIVEHOUSE_HOME": "place/demo",
        "LIVEHOUSE_WAREHOUSE": "place/demo/warehouse.duckdb",
    }
    monkeypatch.chdir(production)
    shown = load_demo_settings(**given)
    assert shown.warehouse.exists()


@pytest.mark.parametrize("warehouse", ["production.duckdb", "ducklake:postgres:host=127.0.0.1 port=1"])
@pytest.mark.parametrize("place", ["environment", "file"])
def test_the_demo_has_settings_of_its_own(place: str, warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = HOSTILE | {"LIVEHOUSE_WAREHOUSE": warehouse, "LIVEHOUSE_HOME": "place"}
    monkeypatch.delenv("LIVEHOUSE_HOME")
    if place == "file":
        Path(".env").write_text("".join(f"{name}={text}\n" for name, text in given.items()))
    else:
        for name, text in given.items():
            monkeypatch.setenv(name, text)
    assert load_demo_settings().model_dump() == Settings.model_construct().model_dump() | {"home": Path("place")}


def test_the_program_does_not_write_into_its_environment() -> None:
    sources = Path(__file__).parents[1].joinpath("pipelines").rglob("*.py")
    writes = re.compile(r"environ\[[^\]]+\]\s*=[^=]|environ\.(update|pop|setdefault|clear)|putenv|unsetenv")
    written = {"/".join(path.parts[-2:]) for path in sources if writes.search(path.read_text())}
    # The password of PostgreSQL leaves the environment while a query runs; the UI's own children get a private TMPDIR.
    assert written == {"storage/postgres.py", "ui/server.py"}


def test_processes_of_the_demo_get_no_setting_but_its_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    variables = {str(field.validation_alias) for field in Settings.model_fields.values()}
    for name in variables:
        monkeypatch.setenv(name, "production")
    assert {name: text for name, text in build_demo_environment(tmp_path).items() if name in variables} == {
        "LIVEHOUSE_HOME": str(tmp_path)
    }


# --- what is removed --------------------------------------------------------------------------------------------


def test_a_demo_replaces_an_earlier_one_and_leaves_what_it_did_not_make(demo: Path) -> None:
    mine = ["notes.sql", "cache/mine.json", "dagster/mine.txt", ".livehouse-backup2", ".report.html.bak", "w.duckdb"]
    for name in mine:
        (demo / name).write_text("mine")
    prepare_demo_directory(demo, DEMO_APPS)
    kept = {str(path.relative_to(demo)) for path in demo.rglob("*") if path.is_file()}
    assert kept == {*mine, MARKER, "pipeline.lock"}


def test_a_demo_that_was_cut_off_is_replaced(demo: Path) -> None:
    for left in ("warehouse.duckdb.publishing", "pipeline.duckdb.wal", ".report.html.a1b2c3d4.tmp"):
        (demo / left).write_text("half")
    (demo / "pipeline.duckdb.wal").unlink()
    (demo / "dagster" / "running" / "run.lock").touch()
    (demo / "dagster" / ".dagster.yaml.123").write_text("half")
    for killed in (demo / "pipeline.duckdb", demo / "warehouse.duckdb"):
        killed.unlink()
    prepare_demo_directory(demo, DEMO_APPS)
    assert {path.name for path in demo.iterdir()} == {MARKER, "pipeline.lock"}


def test_a_demo_of_an_earlier_version_is_recognized(demo: Path) -> None:
    (demo / MARKER).unlink()
    prepare_demo_directory(demo, DEMO_APPS)
    assert {path.name for path in demo.iterdir()} == {MARKER, "pipeline.lock"}


def foreign_file(demo: Path) -> None:
    (demo / MARKER).unlink()
    (demo / "thesis.tex").write_text("mine")


def foreign_file_within(demo: Path) -> None:
    (demo / MARKER).unlink()
    (demo / "cache" / "thesis.tex").write_text("mine")


def home_of_an_account(demo: Path) -> None:
    (demo / MARKER).unlink()
    with duckdb.connect(demo / "pipeline.duckdb") as connection:
        connection.execute("UPDATE ops.loads SET app_id = 'production'")


def account_loaded_into_a_demo(demo: Path) -> None:
    with duckdb.connect(demo / "pipeline_raw.duckdb") as connection:
        connection.execute("UPDATE raw.livestreams SET app_id = 'production'")


def forged_marker(demo: Path) -> None:
    (demo / MARKER).write_text("mine")
    (demo / "mine").write_text("mine")


@pytest.mark.parametrize(
    "change", [foreign_file, foreign_file_within, home_of_an_account, account_loaded_into_a_demo, forged_marker]
)
def test_a_directory_that_no_demo_made_is_left_as_it_is(change: Callable[[Path], None], demo: Path) -> None:
    change(demo)
    before = snapshot(demo)
    assert_refused(demo)
    assert snapshot(demo) == before


@pytest.mark.parametrize("kind", ["directory", "file", "link", "dangling link"])
def test_what_lies_in_its_place_is_left_as_it_is(kind: str, tmp_path: Path) -> None:
    demo = tmp_path / "home" / "demo"
    elsewhere = tmp_path / "elsewhere"
    demo.parent.mkdir()
    elsewhere.mkdir()
    (elsewhere / "x").write_text("mine")
    if kind == "directory":
        elsewhere.rename(demo)
    elif kind == "file":
        demo.write_text("mine")
    else:
        demo.symlink_to(elsewhere if kind == "link" else tmp_path / "nowhere")
    before = snapshot(tmp_path)
    assert_refused(demo)
    assert snapshot(tmp_path) == before


def assert_refused(demo: Path) -> None:
    status, out, err = run_cli({"LIVEHOUSE_HOME": str(demo.parent)}, "demo", "--days", "1", "--quiet")
    assert (status, out, len(err.splitlines())) == (2, "", 1), err
    assert "nothing was changed" in err


def test_a_demo_under_way_is_waited_for(demo: Path) -> None:
    with FileLock(demo / "pipeline.lock"), pytest.raises(AlreadyRunningError, match="wait until"):
        prepare_demo_directory(demo, DEMO_APPS)


def test_an_empty_directory_is_used(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    prepare_demo_directory(tmp_path / "demo", DEMO_APPS)
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {MARKER}

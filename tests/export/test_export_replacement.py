"""An export replaces an older one as a whole, and no file of others."""

import errno
import resource
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from pipelines.export.directory import ExportDirectory
from pipelines.simulator.server import Simulator
from tests.export.conftest import SESSIONS, export, inodes, rows_of, scan
from tests.fixed_clock import NOW
from tests.night_runner import APP, LAST, WEEK, NightRunner, add_day, at_hour, world_of
from tests.pipeline_runner import environment_for, open_published
from tests.promises.fault_runner import run_cli


@pytest.mark.long
def test_days_that_were_not_loaded_again_are_kept(tmp_path: Path) -> None:
    with Simulator(world_of(2)) as simulator:
        nights = NightRunner(simulator, tmp_path / "home")
        nights.builds_marts = False
        nights.load(WEEK)
        out, tables = tmp_path / "out", ("--tables", SESSIONS)
        assert export(nights, str(out), *tables)[0] == 0
        before, opened = inodes(out, SESSIONS), (out / "core").resolve()
        add_day(nights.world, LAST + timedelta(days=1))
        nights.world.now = NOW + timedelta(days=1)
        nights.world.add_session(
            APP,
            nights.world.apps[APP].livestreams[0].id,
            created_at=at_hour(LAST, 20),
            ingest_seconds=60.0,
            viewer_seconds=7.0,
        )
        nights.load((LAST, LAST + timedelta(days=1)), at=NOW + timedelta(days=1))
        status, _, err = export(nights, str(out), *tables)
        assert status == 0, err
        after = inodes(out, SESSIONS)
        changed = {path for path, inode in after.items() if before.get(path) != inode}
        days = {f"app_id={APP}/day={LAST + timedelta(days=number)}/data_0.parquet" for number in (0, 1)}
        assert changed == days
        assert "unchanged since the last export" in err
        with duckdb.connect() as reader, open_published(nights.settings) as published:
            columns = "app_id, day, session_id, viewer_seconds"
            assert rows_of(reader, scan(out, SESSIONS), columns) == rows_of(published, SESSIONS, columns)
        assert len(list(opened.rglob("day=*"))) > 0, "a reader of the export before can go on"
        export(nights, str(out), *tables)
        assert not opened.exists(), "only the export before is kept"


@pytest.mark.parametrize("taken", ["core", "export.json"])
def test_files_of_others_are_not_replaced(taken: str, nights: NightRunner, tmp_path: Path) -> None:
    (tmp_path / taken).write_text("mine")
    status, _, err = export(nights, str(tmp_path))
    assert status == 1
    assert f"{taken} exists, and is not from `livehouse export`" in err
    assert (tmp_path / taken).read_text() == "mine"


def test_links_and_directories_of_others_stay(nights: NightRunner, tmp_path: Path) -> None:
    (tmp_path / "marts").symlink_to("elsewhere")
    status, _, err = export(nights, str(tmp_path))
    assert (status, err.count("\n")) == (1, 1)
    assert "marts exists, and is not from `livehouse export`" in err
    (tmp_path / "marts").unlink()
    (tmp_path / ".exports" / "mine").mkdir(parents=True)
    assert export(nights, str(tmp_path), "--tables", "marts.daily_usage")[0] == 0
    assert (tmp_path / ".exports" / "mine").is_dir()


def test_files_that_a_user_deleted_or_edited_are_written_again(nights: NightRunner, tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--tables", SESSIONS]
    assert export(nights, *arguments)[0] == 0
    first, second = sorted((tmp_path / "core" / "livestream_sessions").rglob("*.parquet"))[:2]
    first.unlink()
    second.write_bytes(b"edited")
    older = second.resolve()
    status, _, err = export(nights, *arguments)
    assert status == 0, err
    assert "5 of them unchanged" in err
    with duckdb.connect() as reader, open_published(nights.settings) as published:
        columns = "app_id, day, session_id, viewer_seconds"
        assert rows_of(reader, scan(tmp_path, SESSIONS), columns) == rows_of(published, SESSIONS, columns)
    assert older.read_bytes() == b"edited"


def test_a_failure_after_the_replacement_leaves_the_new_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = Path.symlink_to

    def link_on_full_disk(path: Path, target: Path) -> None:
        if target.parts[0] == ".current":
            raise OSError(errno.ENOSPC, "No space left on device", f"{path}")
        link(path, target)

    monkeypatch.setattr(Path, "symlink_to", link_on_full_disk)
    directory = ExportDirectory(tmp_path, NOW)
    with pytest.raises(OSError, match="No space left"), directory.replaced(wait_seconds=0, log=print):
        directory.make_directory("core")
    assert (tmp_path / ".current" / "core").is_dir()


def test_a_target_that_is_a_file_is_one_line(nights: NightRunner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    status, _, err = export(nights, str(tmp_path / "file"))
    assert (status, err.count("\n")) == (1, 1), err
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.long
def test_an_export_killed_while_it_writes_leaves_the_older_one(nights: NightRunner, tmp_path: Path) -> None:
    assert export(nights, str(tmp_path), "--tables", "marts.daily_usage")[0] == 0
    before = (tmp_path / "marts").resolve()

    def allow_small_files() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))

    source = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL); from pipelines.cli import main; main()"
    no_bytecode = {"PYTHONDONTWRITEBYTECODE": "1"}  # Python would keep the part of it that the limit lets through
    killed = subprocess.run(
        [sys.executable, "-c", source, "export", str(tmp_path)],
        env=environment_for(nights.simulator, nights.settings.home)
        | {"PYTHONPATH": f"{Path(__file__).parents[2]}"}
        | no_bytecode,
        preexec_fn=allow_small_files,
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGXFSZ, killed.stderr
    assert len([path for path in (tmp_path / ".exports").iterdir() if path.is_dir()]) == 2
    assert (tmp_path / "marts").resolve() == before
    assert export(nights, str(tmp_path))[0] == 0
    assert (tmp_path / "core").exists()
    left = {path.name for path in (tmp_path / ".exports").iterdir() if path.is_dir()}
    assert left == {before.parent.name, (tmp_path / "core").resolve().parent.name}


@pytest.mark.long
@pytest.mark.parametrize("damaged", ["", "{", "null", "[1]", '[{"day": "soon"}]', "\x00"])
def test_an_export_with_a_damaged_manifest_is_written_again(damaged: str, nights: NightRunner, tmp_path: Path) -> None:
    tables = ("--tables", SESSIONS)
    assert export(nights, str(tmp_path), *tables)[0] == 0
    (tmp_path / "export.json").write_text(damaged)
    status, _, err = export(nights, str(tmp_path), *tables)
    assert status == 0
    assert "0 of them unchanged" in err


def test_two_exports_to_one_directory_do_not_mix(nights: NightRunner, tmp_path: Path) -> None:
    with ExportDirectory(tmp_path, NOW).replaced(wait_seconds=0, log=print):
        environment = environment_for(nights.simulator, nights.settings.home, LIVEHOUSE_LOCK_WAIT_SECONDS="0")
        status, _, err = run_cli(environment, "export", str(tmp_path))
        assert status == 1
        assert "is still writing to" in err

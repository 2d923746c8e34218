"""Publishing over what already exists: the target of a link is replaced, and files of others are not."""

import stat
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pipelines.errors import SettingsError, WarehouseError
from pipelines.files import find_temporary_files, replace_file
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.publish import remove_unfinished
from tests.storage.conftest import Start
from tests.storage.test_publish import WRITER_THAT_DIES, add, files, published

# --- symbolic links ---------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A larger disk, somewhere else."""
    place = tmp_path / "disk"
    place.mkdir()
    return place


@pytest.mark.long
@pytest.mark.parametrize("kind", ["absolute", "relative", "chain"])
def test_the_target_of_a_link_is_replaced_and_the_link_stays(
    kind: str, warehouse: FileWarehouse, disk: Path, start: Start
) -> None:
    target = disk / "large.duckdb"
    target.touch()
    target.chmod(0o640)
    leads_to = {"absolute": target, "relative": Path("..") / "disk" / "large.duckdb", "chain": disk / "link"}[kind]
    if kind == "chain":
        (disk / "link").symlink_to("large.duckdb")
    warehouse.published.symlink_to(leads_to)
    warehouse.prepare()
    add(warehouse, "one")
    warehouse.publish(print)
    before = target.stat().st_ino
    assert start(WRITER_THAT_DIES, target).finish()[0] == 9
    (disk / "large.duckdb.publishing").write_bytes(b"half")
    remove_unfinished(warehouse.published, (warehouse.raw, warehouse.working))
    add(warehouse, "two")
    with warehouse.open_published() as connection:
        assert connection.execute("SELECT run_id FROM ops.loads").fetchall() == [("one",)], "without the reader's log"
    assert warehouse.publish(print) == target.stat().st_size
    assert warehouse.published.readlink() == leads_to
    assert target.stat().st_ino != before, "swapped in, not written into"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    for path in (target, warehouse.published):
        with duckdb.connect(path, read_only=True) as connection:
            assert connection.execute("SELECT run_id FROM ops.loads ORDER BY ALL").fetchall() == [("one",), ("two",)]
    assert {path.name for path in disk.iterdir()} - {"link"} == {"large.duckdb"}
    assert files(warehouse) == {"pipeline.duckdb", "warehouse.duckdb"}


def test_a_directory_may_be_a_link(tmp_path: Path, disk: Path) -> None:
    (tmp_path / "data").symlink_to(disk)
    warehouse = FileWarehouse(tmp_path / "data" / "warehouse.duckdb")
    warehouse.prepare()
    add(warehouse)
    warehouse.publish(print)
    assert published(warehouse) == [("run",)]
    assert (tmp_path / "data").is_symlink()


@pytest.mark.parametrize(
    ("leads_to", "message"),
    [
        (
            "nowhere",
            "is a link to .+, which does not exist: mount its disk, create an empty file there, or remove the link",
        ),
        ("warehouse.duckdb", "which does not exist: "),
        ("..", "is a link to .+, which is not a file: link it to a file, or remove the link"),
        ("x/y", "which does not exist: "),
    ],
)
def test_a_link_that_leads_to_no_file_is_one_line_and_stays(
    leads_to: str, message: str, warehouse: FileWarehouse
) -> None:
    warehouse.published.symlink_to(leads_to)
    for action in (warehouse.prepare, lambda: warehouse.publish(print)):
        with pytest.raises(WarehouseError, match=message) as raised:
            action()
        assert "\n" not in str(raised.value)
    with pytest.raises(WarehouseError), warehouse.open_published():
        pass
    assert str(warehouse.published.readlink()) == leads_to
    assert files(warehouse) == {"warehouse.duckdb"}


def test_the_page_replaces_the_target_of_a_link(tmp_path: Path, disk: Path) -> None:
    page = tmp_path / "report.html"
    (disk / "page.html").write_text("before")
    page.symlink_to("disk/page.html")
    with pytest.raises(ZeroDivisionError), replace_file(page) as file:
        file.write_text("half")
        raise ZeroDivisionError
    assert page.read_text() == "before"
    with replace_file(page) as file:
        assert list(find_temporary_files(page)) == [file]
        file.write_text("after")
    assert (disk / "page.html").read_text() == "after"
    assert page.is_symlink()
    assert [path.name for path in disk.iterdir()] == ["page.html"]


# --- what is not ours -------------------------------------------------------------------------------------------


def foreign_database(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE theirs AS SELECT 1 AS x")


def foreign_text(path: Path) -> None:
    path.write_text("a,b\n")


@pytest.mark.parametrize("make", [foreign_database, foreign_text])
@pytest.mark.parametrize("name", ["warehouse.duckdb", "analytics.duckdb"])
@pytest.mark.parametrize("is_linked", [False, True])
def test_a_foreign_file_is_not_replaced(
    make: Any,
    name: str,
    is_linked: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
) -> None:
    path = tmp_path / "theirs.db" if is_linked else tmp_path / name
    make(path)
    if is_linked:
        (tmp_path / name).symlink_to(path)
    before = path.read_bytes()
    with pytest.raises(SettingsError, match="not a warehouse of livehouse"):
        FileWarehouse(tmp_path / name).prepare()
    assert path.read_bytes() == before


@pytest.mark.long
def test_a_copy_of_ours_under_any_name_is_replaced(tmp_path: Path) -> None:
    warehouse = FileWarehouse(tmp_path / "analytics.duckdb")
    for run_id in ("one", "two"):
        warehouse.prepare()
        with warehouse.open_raw():
            add(warehouse, run_id)
        warehouse.publish(print)
    assert published(warehouse) == [("one",), ("two",)]


def test_only_directories_of_killed_processes_are_cleared(warehouse: FileWarehouse) -> None:
    ours = warehouse.directory / ".livehouse-a1b2c3d4"
    theirs = [
        warehouse.directory / name for name in (".livehouse-backup", ".livehouse-archived", ".livehouse-12345678")
    ]
    for directory in (ours, *theirs):
        directory.mkdir()
        (directory / ("warehouse.duckdb" if directory == ours else "thesis.tex")).touch()
    (warehouse.directory / ".livehouse-linked_1").symlink_to(theirs[0])
    remove_unfinished(warehouse.published, (warehouse.raw, warehouse.working))
    assert not ours.exists()
    assert all((directory / "thesis.tex").exists() for directory in theirs)

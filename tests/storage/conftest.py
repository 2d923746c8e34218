"""Fixtures: a warehouse in a directory of its own, and other processes that compete with it."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pipelines.settings.settings import Settings
from pipelines.storage.file_warehouse import FileWarehouse
from pipelines.storage.warehouse import Warehouse, open_warehouse

ROOT = Path(__file__).parents[2]


@pytest.fixture
def warehouse(tmp_path: Path) -> FileWarehouse:
    made = FileWarehouse(tmp_path / "home" / "warehouse.duckdb")
    made.prepare()
    return made


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with both of the pipeline's files, their tables empty: making those costs more than most tests of them."""
    made = FileWarehouse(tmp_path_factory.mktemp("made") / "warehouse.duckdb")
    with made.open_raw(), made.open_working():
        return made.directory


@pytest.fixture(params=["file", pytest.param("lake", marks=pytest.mark.long)])
def store(request: pytest.FixtureRequest, made_once: Path, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse of either kind, held for a run: opening one costs more than most of what is done with it."""
    if request.param == "file":
        shutil.copytree(made_once, tmp_path / "home")
    place = request.getfixturevalue("lake") if request.param == "lake" else f"{tmp_path / 'home' / 'warehouse.duckdb'}"
    made = open_warehouse(Settings(LIVEHOUSE_HOME=tmp_path / "home", LIVEHOUSE_WAREHOUSE=place))  # type: ignore[call-arg]  # read by alias
    made.prepare()
    with made.run(wait_seconds=0, log=print):
        yield made


class Program:
    """A Python program beside the test: prints "ready", then waits for a line on its standard input, or is killed."""

    def __init__(self, source: str, *arguments: object) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", source, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def finish(self) -> tuple[int, str]:
        """Let it go on to its end."""
        output, _ = self.process.communicate("\n", timeout=60)
        return self.process.returncode, output

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def with_little_disk(module: str, statement: str, most_bytes: int) -> str:
    """Return a program that imports all of a module, and that the kernel kills when it writes a file beyond this size."""
    return f"""
import resource, signal, sys
from pathlib import Path
from {module} import *
print("ready", flush=True)
sys.stdin.readline()
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes}, {most_bytes}))
{statement}
"""


def insert_and_die(statement: str) -> str:
    """Return a program that ends with status 9 without closing the file, so that the rows of a statement stay in its .wal."""
    return f"""
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("SET checkpoint_threshold = '1GB'")
connection.execute({statement!r})
print("ready", flush=True)
sys.stdin.readline()
os._exit(9)
"""


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a program and waits until it says that it is ready."""
    with ExitStack() as running:

        def begin(source: str, *arguments: object) -> Program:
            program = Program(source, *arguments)
            running.callback(program.kill)
            assert program.line() == "ready"
            return program

        yield begin

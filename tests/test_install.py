"""Installed from the wheel, without a checkout: everything is there, the demo runs, and where it cannot run is one line."""

import os
import re
import stat
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import duckdb
import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

from hatch_build import PackageDataHook
from pipelines.cli import COMMANDS
from pipelines.files import PACKAGE_DATA
from pipelines.settings.settings import Settings
from tests.promises.fault_runner import run_cli

ROOT = Path(__file__).parents[1]
INSTALLED_AS = {"sql": "pipelines/sql", ".env.example": "pipelines/settings/env.example"}
"""Files from outside of the packages, and their place in the wheel."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HATCH_BUILD_NO_HOOKS", "true")  # package data is there, and takes seconds to generate
        [path] = WheelBuilder(str(ROOT)).build(directory=str(directory), versions=["standard"])
    return Path(path)


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory


def tracked(*paths: str) -> set[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}


def test_the_wheel_has_every_file_of_the_program_and_no_other(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    expected = tracked("livehouse.py", "pipelines")
    for source, target in INSTALLED_AS.items():
        expected |= {target + name.removeprefix(source) for name in tracked(source)}
    generated = sorted(PACKAGE_DATA.iterdir())
    assert [file.name.partition("-")[0] for file in generated] == ["charts", "history", "marts.json"]
    expected |= {f"pipelines/package_data/{file.name}" for file in generated}
    assert {name for name in names if ".dist-info/" not in name} == expected


def test_package_data_is_generated_by_each_home_if_the_builder_cannot(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An isolated build has none of the packages that livehouse imports."""
    (tmp_path / "hatch_build.py").write_text("import altair_is_missing\n")
    hook: PackageDataHook = PackageDataHook(str(tmp_path), {}, None, None, str(tmp_path), "wheel")  # type: ignore[arg-type]  # it reads neither
    hook.initialize("standard", {})
    assert "(ModuleNotFoundError: No module named 'altair_is_missing')" in "".join(capsys.readouterr())
    assert not (tmp_path / "pipelines").exists()
    (tmp_path / "PKG-INFO").touch()
    hook.initialize("standard", {})
    assert not any(capsys.readouterr()), "a source distribution contains package data"


@pytest.mark.long
def test_the_sdist_builds_without_git_and_has_what_a_checkout_needs(tmp_path: Path) -> None:
    [path] = SdistBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert tracked("livehouse.py", "hatch_build.py", "pipelines", "sql", "tests/test_install.py") <= names
    assert {f"pipelines/package_data/{file.name}" for file in PACKAGE_DATA.glob("*.json")} <= names
    assert {
        "workspace.yaml",
        ".env.example",
        "Makefile",
        "constraints.txt",
        "LICENSE",
        "docs/decisions/README.md",
    } <= names
    assert not [name for name in names if name.startswith((".venv", "data/", "build/")) or name == ".env"]


def run_unpacked(
    unpacked: Path, code: str, *arguments: str, cwd: Path, extra: tuple[Path, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run code with the unpacked wheel in place of the checkout; the dependencies are those of this environment."""
    dependencies = Path(str(duckdb.__file__)).parents[1]
    places = os.pathsep.join(map(str, (*extra, unpacked, dependencies)))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEHOUSE_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-S", "-P", "-c", code, *arguments],
        cwd=cwd,
        env=environment | {"PYTHONPATH": places},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


START = "import sys, livehouse; sys.argv[0] = 'livehouse'; livehouse.main()"


def test_every_command_works_from_the_wheel_and_the_version_names_what_it_runs_on(
    unpacked: Path, tmp_path: Path
) -> None:
    code = f"from importlib import import_module as load; from pipelines.cli import COMMANDS; [load(m) for m, _ in COMMANDS.values()]; {START}"
    done = run_unpacked(unpacked, code, "--version", cwd=tmp_path)
    assert re.fullmatch(
        rf"livehouse [\w.]+ \(Python 3\.\d+\.\d+, DuckDB {re.escape(duckdb.__version__)}, Dagster 1\.[\d.]+\)\n",
        done.stdout,
    ), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("code", "message"),
    [
        (f"import sys; sys.platform = 'win32'; {START}", "Windows is not supported"),
        pytest.param(
            f"import pipelines; pipelines.DISTRIBUTION = 'another'; {START}",
            "another package here overwrote files of `pipelines`",
            marks=pytest.mark.long,  # reads the metadata of every package, like the next one
        ),
        (
            f"import sys; sys.modules['pipelines.cli'] = None; {START}",
            "another package here overwrote files of `pipelines`",
        ),
    ],
    ids=["windows", "another package", "a missing module"],
)
def test_it_refuses_in_one_line_where_it_cannot_run(code: str, message: str, unpacked: Path, tmp_path: Path) -> None:
    done = run_unpacked(unpacked, code, "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith(f"livehouse: {message}")


def test_a_package_of_the_same_name_elsewhere_is_not_taken(unpacked: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "pipelines").mkdir(parents=True)
    (other / "pipelines/__init__.py").write_text("raise RuntimeError('another project')")
    done = run_unpacked(unpacked, START, "--version", cwd=tmp_path, extra=(other,))
    assert done.returncode == 0, done.stderr


def test_init_writes_a_private_env_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run_cli({}, "init")
    assert (status, out) == (0, ".env\n"), err
    written = (tmp_path / ".env").read_text()
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert {str(field.validation_alias) for field in Settings.model_fields.values()} <= set(
        re.findall(r"^#?([A-Z_]+)=", written, re.MULTILINE)
    )
    (tmp_path / ".env").write_text("CLOUDFLARE_API_TOKEN=mine\n")
    status, out, err = run_cli({}, "init")
    assert (status, out) == (0, "")
    assert "exists and is left as it is" in err
    assert (tmp_path / ".env").read_text() == "CLOUDFLARE_API_TOKEN=mine\n"


def test_init_prints_a_cron_line_for_a_directory_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "100% of it's"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "argv", ["/opt/my tools/livehouse"])
    status, out, _ = run_cli({}, "init", "--cron")
    assert status == 0
    line = out.splitlines()[-1]
    assert line.startswith("45 2 * * *  cd ")
    assert re.search(r"(?<!\\)%", line) is None
    directory = subprocess.run(
        ["sh", "-c", line.removeprefix("45 2 * * *  ").replace(r"\%", "%").partition(" && ")[0] + " && pwd"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert directory.stdout == f"{place}\n"
    assert line.endswith("&& '/opt/my tools/livehouse' nightly --quiet")


def test_init_writes_systemd_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/opt/my tools/livehouse"])
    (tmp_path / "units").mkdir()
    status, out, err = run_cli({}, "init", "--systemd", "units")
    assert status == 0, err
    assert out.splitlines() == [".env", "units/livehouse.service", "units/livehouse.timer"]
    assert "systemctl --user" in err
    service, timer = ConfigParser(interpolation=None), ConfigParser(interpolation=None)
    service.read(tmp_path / "units/livehouse.service")
    timer.read(tmp_path / "units/livehouse.timer")
    assert service["Service"]["WorkingDirectory"] == str(tmp_path)
    assert service["Service"]["ExecStart"] == '"/opt/my tools/livehouse" nightly'
    assert timer["Timer"]["Persistent"] == "true"
    status, _, err = run_cli({}, "init", "--systemd", "missing")
    assert (status, "missing/livehouse.service" in err) == (2, True)


@pytest.mark.long  # a virtual environment and a whole demo
def test_the_demo_runs_from_the_installed_wheel_in_an_empty_directory(wheel: Path, tmp_path: Path) -> None:
    environment, place = tmp_path / "environment", tmp_path / "empty"
    place.mkdir()
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    installed = next(environment.glob("lib/python*/site-packages"))
    program = environment / "bin" / "livehouse"
    subprocess.run(
        [environment / "bin/python", "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True
    )
    (installed / "dependencies.pth").write_text(f"{Path(str(duckdb.__file__)).parents[1]}\n")  # without this checkout

    def run(*arguments: str) -> str:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("LIVEHOUSE_", "PYTHON"))}
        done = subprocess.run(
            [program, *arguments], cwd=place, env=variables, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("demo", "--days", "2")
    assert run("sql", "--format", "csv", "select count(distinct day) as days from marts.daily_usage") == "days\n2\n"
    assert (place / "data/demo/report.html").stat().st_size > 100_000
    assert {path.name for path in place.iterdir()} == {"data"}
    for command in COMMANDS:
        assert "Usage:" in run(command, "--help")

"""The charts of the page: built with the package, or once per home, by a process of their own."""

import ast
import json
import shutil
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from pipelines.report import chart_bundle
from pipelines.report.chart_bundle import (
    SOURCES,
    ChartBundle,
    _start_build,
    build_charts_meanwhile,
    read_chart_bundle,
)

REPORT = Path(chart_bundle.__file__).parent


@pytest.fixture
def unpackaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ChartBundle:
    """Let this process read no package data. A build, which takes seconds, returns the bundle of the package, which this returns."""
    packaged = read_chart_bundle(tmp_path / "none")
    monkeypatch.setattr(chart_bundle, "_packaged_file", lambda: tmp_path / "none")
    monkeypatch.setattr(chart_bundle, "_build", lambda: packaged)
    return packaged


def test_the_bundle_of_the_package_is_read_without_a_cache(tmp_path: Path) -> None:
    with build_charts_meanwhile(tmp_path / "cache"):
        assert read_chart_bundle(tmp_path / "cache").charts.keys() >= {"days", "top"}
    assert list(tmp_path.iterdir()) == []


def test_edited_charts_are_not_read_from_the_package(tmp_path: Path) -> None:
    """In a checkout, package data is older than an edit of the charts."""
    for source in SOURCES:
        shutil.copytree(REPORT, tmp_path / "report", dirs_exist_ok=True)
        assert run_copy(tmp_path / "report").is_packaged()
        with (tmp_path / "report" / source).open("a") as file:
            file.write("# edited\n")
        assert not run_copy(tmp_path / "report").is_packaged(), source


def run_copy(report: Path) -> Any:
    spec = spec_from_file_location("copied", report / "chart_bundle.py")
    assert spec
    assert spec.loader
    copied = module_from_spec(spec)
    spec.loader.exec_module(copied)
    return copied


def test_every_module_that_specifies_charts_is_a_source() -> None:
    used, found = {"charts"}, {"chart_bundle"}
    while used - found:
        module = (used - found).pop()
        found.add(module)
        for node in ast.walk(ast.parse((REPORT / f"{module}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipelines."):
                package, _, name = str(node.module).rpartition(".")
                assert package == "pipelines.report", "a source outside of the report"
                used.add(name)
    assert {f"{module}.py" for module in found} == set(SOURCES)


@pytest.mark.usefixtures("unpackaged")
def test_chart_bundle_is_built_once_and_rebuilt_if_damaged(tmp_path: Path) -> None:
    kept = tmp_path / "cache"
    made = read_chart_bundle(kept)
    [file] = kept.glob("charts-*")
    assert read_chart_bundle(kept) == made
    left = kept / ".charts-a1b2c3d4.tmp"
    left.touch()
    file.write_text('{"charts": {}, "scr', encoding="utf-8")  # a disk that was full
    assert read_chart_bundle(kept) == made
    assert {path.name for path in kept.iterdir()} == {file.name, "lock"}
    file.write_text(json.dumps({"charts": {}, "script": "kept"}), encoding="utf-8")
    assert read_chart_bundle(kept).script == "kept"


@pytest.mark.long
def test_chart_bundle_is_built_by_a_separate_process_that_ends_with_the_run(
    tmp_path: Path, unpackaged: ChartBundle
) -> None:
    kept = tmp_path / "cache"
    with build_charts_meanwhile(kept):
        deadline = time.monotonic() + 60
        while not any(kept.glob("charts-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert read_chart_bundle(kept) == unpackaged
    with build_charts_meanwhile(tmp_path / "other"):
        pass  # a run that is over before
    assert not list((tmp_path / "other").glob("charts-*"))
    assert read_chart_bundle(tmp_path / "other") == unpackaged


def test_charts_are_built_each_time_if_the_cache_is_not_writable(tmp_path: Path, unpackaged: ChartBundle) -> None:
    (tmp_path / "cache").touch()
    assert read_chart_bundle(tmp_path / "cache") == unpackaged


@pytest.mark.usefixtures("unpackaged")
def test_only_what_was_kept_before_is_removed_from_the_cache(tmp_path: Path) -> None:
    for name in ("mine.json", "charts-mine.json", "charts-0123456789abcdef.json", ".charts-a1b2c3d4.tmp", "tmpmine"):
        (tmp_path / name).write_text("x")
    read_chart_bundle(tmp_path)
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith("charts-")}
    assert left == {"mine.json", "tmpmine", "lock"}
    charts = sorted(path.name for path in tmp_path.glob("charts-*"))
    assert len(charts) == 2
    assert "charts-mine.json" in charts


@pytest.mark.long
def test_charts_are_built_without_packages_on_pythonpath(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package `pipelines`, or an `altair`, of another project must not run in the process that makes them."""
    for name in ("pipelines", "altair", "filelock", "json"):
        (tmp_path / "others" / name).mkdir(parents=True)
        (tmp_path / "others" / name / "__init__.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "others"))
    (tmp_path / "kept").mkdir()
    with _start_build(tmp_path / "kept") as process:
        assert process.wait() == 0
    assert not (tmp_path / "imported").exists()
    assert list((tmp_path / "kept").glob("charts-*.json"))

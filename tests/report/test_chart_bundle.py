"""The charts of the page: built once, by a process of their own, and kept between runs."""

import json
import time
from pathlib import Path

import pytest

from pipelines.report import chart_bundle
from pipelines.report.chart_bundle import _start_build, build_charts_meanwhile, read_chart_bundle


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chart_bundle, "_start_build", _start_build)  # which the suite replaces
    kept = tmp_path / "cache"
    with build_charts_meanwhile(kept):
        deadline = time.monotonic() + 60
        while not any(kept.glob("charts-*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    made = read_chart_bundle(kept)
    assert made.charts.keys() >= {"days", "top"}
    with build_charts_meanwhile(tmp_path / "other"):
        pass  # a run that is over before
    assert not list((tmp_path / "other").glob("charts-*"))
    assert read_chart_bundle(tmp_path / "other") == made


def test_charts_are_built_each_time_if_the_cache_is_not_writable(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert read_chart_bundle(tmp_path / "cache").charts.keys() >= {"days", "top"}


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

"""Tests with third-party programs. They take minutes and need tests/peers/install.sh."""

import shutil
from pathlib import Path

import pytest

INSTALLED = Path(__file__).parents[2] / ".peers" / "node_modules"


def installed(name: str) -> Path:
    """Return the directory of an npm package; skip the test if it is missing."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    if not (INSTALLED / name).exists():
        pytest.skip(f"{name} is not installed: tests/peers/install.sh")
    return INSTALLED / name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.long)

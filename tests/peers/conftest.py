"""Programs that nobody here wrote. They take minutes and have to be installed: tests/peers/install.sh."""

import shutil
from pathlib import Path

import pytest

INSTALLED = Path(__file__).parents[2] / ".peers" / "node_modules"


def installed(name: str) -> Path:
    """The place of a package of npm, or skip and say what is missing."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: apt-get install nodejs npm")
    if not (INSTALLED / name).exists():
        pytest.skip(f"{name} is not installed: tests/peers/install.sh")
    return INSTALLED / name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.long)

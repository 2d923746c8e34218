"""Imports point one way: a package imports only packages in lower layers. CONTRIBUTING.md has the map."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "pipelines").rglob("*.py"))
LAYERS: tuple[tuple[str, ...], ...] = (
    ("text",),
    ("errors", "clock"),
    ("files",),
    ("catalog",),
    ("settings",),
    ("transport", "storage"),
    ("telemetry",),
    ("extract", "normalize", "load", "marts"),
    ("report", "export", "alerts", "statement"),
    ("steps",),
    ("live",),
    ("orchestration",),
    ("definitions",),
    ("ui",),
    ("explore",),
    ("cli",),
)
"""From the bottom up. A package may import itself and the packages of the layers below it."""
ROOT_MODULES = {"definitions", "errors", "clock", "text", "files"}
MAY_IMPORT_DAGSTER = ("definitions", "ui", "cli", "orchestration")
MOST_LINES = 300


def part_of(module: str) -> str:
    """Return `extract` for `pipelines.extract.client`, and an empty text for `pipelines` itself."""
    return [*module.split("."), ""][1]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(source: str) -> Iterator[str]:
    """Yield the modules that a source imports: at its head, inside functions, and by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "this test cannot see relative imports"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # a module name in a string, as importlib takes it
            yield from re.findall(r"^pipelines(?:\.\w+)+(?=$|:)", node.value)


def layer_of(part: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if part in layer)


def may_import(importer: str, imported: str) -> bool:
    if imported in {"", importer} or (imported == "simulator" and importer == "cli"):
        return True
    if "simulator" in {importer, imported} or importer == "":
        return False
    above, below = layer_of(importer), layer_of(imported)
    return above > below


def rooms_imported_by(source: str) -> set[str]:
    return {part_of(module) for module in imports_of(source) if module.split(".")[0] == "pipelines"}


def test_every_package_has_a_layer() -> None:
    parts = {part_of(name_of(path)) for path in MODULES} - {"", "simulator"}
    assert parts == {part for layer in LAYERS for part in layer}


def test_imports_point_one_way() -> None:
    wrong = {
        f"{name_of(path)} imports {part}"
        for path in MODULES
        for part in rooms_imported_by(path.read_text())
        if not may_import(part_of(name_of(path)), part)
    }
    assert wrong == set(), "imports that point upwards"


def packages_imported_by(path: Path) -> set[str]:
    """Return the top-level packages that a module imports."""
    return {module.split(".")[0] for module in imports_of(path.read_text())}


def test_only_orchestration_and_the_command_line_import_dagster() -> None:
    importers = {
        name_of(path) for path in MODULES if any(name.startswith("dagster") for name in packages_imported_by(path))
    }
    assert {name for name in importers if part_of(name) not in MAY_IMPORT_DAGSTER} == set()


def test_files_are_small() -> None:
    lines = {name_of(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_the_program_does_not_import_tests() -> None:
    assert [name_of(path) for path in MODULES if "tests" in packages_imported_by(path)] == []


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("cli", "definitions", True),
        ("cli", "simulator", True),
        ("cli", "settings", True),
        ("definitions", "cli", False),
        ("definitions", "orchestration", True),
        ("orchestration", "steps", True),
        ("orchestration", "definitions", False),
        ("steps", "extract", True),
        ("steps", "orchestration", False),
        ("steps", "simulator", False),
        ("live", "steps", True),
        ("extract", "normalize", False),
        ("normalize", "load", False),
        ("load", "storage", True),
        ("storage", "load", False),
        ("load", "catalog", True),
        ("load", "load", True),
        ("report", "marts", True),
        ("report", "load", True),
        ("catalog", "settings", False),
        ("errors", "load", False),
        ("simulator", "errors", False),
        ("simulator", "simulator", True),
    ],
)
def test_which_rooms_may_import_which(importer: str, imported: str, allowed: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert may_import(importer, imported) is allowed


@pytest.mark.parametrize(
    "source",
    [
        "import pipelines.load.raw_tables",
        "from pipelines import load",
        "from pipelines.load import raw",
        "from pipelines.load.raw_tables import land as _land",
        "def f():\n    import pipelines.load as x",
        "if True:\n    from pipelines.load.raw_tables import (\n        land,\n    )",
        "import importlib\nimportlib.import_module('pipelines.load.raw_tables')",
        "__import__('pipelines.load')",
        "LAZY = {'x': 'pipelines.load.raw_tables:land'}",
    ],
)
def test_every_form_of_import_is_detected(source: str) -> None:
    assert "load" in rooms_imported_by(source)


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(AssertionError):
        list(imports_of("from .raw import land"))


def test_few_modules_are_loose_in_the_root() -> None:
    assert {path.stem for path in (ROOT / "pipelines").glob("*.py")} - {"__init__"} == ROOT_MODULES

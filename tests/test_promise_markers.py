"""Each promise of the README has a test in the default suite."""

import ast
from pathlib import Path

PROMISES = range(1, 8)


def find_default_markers() -> list[set[str]]:
    """Return the markers of each test that is not long as a whole."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.rglob("test_*.py")]
    found = [
        {ast.unparse(decorator) for decorator in node.decorator_list}
        for tree in trees
        if not any("pytestmark" in (text := ast.unparse(node)) and "mark.long" in text for node in tree.body)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    ]
    return [markers for markers in found if "pytest.mark.long" not in markers]


def test_each_promise_has_a_default_test() -> None:
    found = set().union(*find_default_markers())
    assert {f"pytest.mark.promise({number})" for number in PROMISES} <= found

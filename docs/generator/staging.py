"""Stage the pages for Sphinx: the repository's Markdown in its own layout, with the generated reference and a table of contents.

Relative links work in the repository and in the site, because the layout is the same.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from docs.generator.api import operations_page
from docs.generator.commands import commands_page
from docs.generator.errors import errors_page
from docs.generator.markdown import fenced, page
from docs.generator.metrics import metrics_page, telemetry_page
from docs.generator.settings import ROOT, settings_page
from docs.generator.tables import checks_page, examples_page, marts_page, tables_page

REFERENCE: dict[str, Callable[[], str]] = {
    "settings": settings_page,
    "commands": commands_page,
    "tables": tables_page,
    "marts": marts_page,
    "checks": checks_page,
    "examples": examples_page,
    "operations": operations_page,
    "errors": errors_page,
    "metrics": metrics_page,
    "telemetry": telemetry_page,
}
"""Generated pages by name, in `docs/reference`."""

PARTS = {
    "Documentation": (
        "docs/tutorial/README",
        "docs/how-to/README",
        "docs/reference/README",
        "docs/explanation/README",
        "docs/decisions/README",
    ),
    "Project": ("docs/README", "CONTRIBUTING", "SECURITY", "CHANGELOG", "deploy/README"),
}
"""The captions of the navigation, and the pages below each. Overviews in `docs` list the pages of their directory."""

COPIED = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", ".env.example", "deploy", "docs")
"""Pages, and the files that they link to."""


def generated_pages() -> set[str]:
    """Return the paths of the generated pages in the repository's layout."""
    return {f"docs/reference/{name}.md" for name in REFERENCE}


def toctree(pages: list[str], caption: str = "") -> str:
    """Return a hidden table of contents, which makes the navigation of the site."""
    options = [":hidden:", *([f":caption: {caption}"] if caption else [])]
    return fenced("{toctree}", "\n".join([*options, "", *pages]))


def list_children(text: str) -> list[str]:
    """Return the pages in the same directory that a page links to, in order."""
    links = re.findall(r"\]\(([\w.-]+)\.md(?:#[^)]*)?\)", text)
    return [name for name in dict.fromkeys(links) if name != "README"]


def stage(target: Path) -> None:
    """Write all pages of the site to a directory, which is emptied first."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, target / name, ignore=shutil.ignore_patterns("generator", "__pycache__", ".env", "tls")
            )
        else:
            shutil.copyfile(source, target / name)
    for name, generate in REFERENCE.items():
        (target / "docs/reference" / f"{name}.md").write_text(generate(), encoding="utf-8")
    for part in PARTS.values():
        for name in part:
            if name.startswith("docs/") and name != "docs/README":
                overview = target / f"{name}.md"
                text = overview.read_text(encoding="utf-8")
                overview.write_text(page(text, toctree(list_children(text))), encoding="utf-8")
    front = target / "README.md"
    contents = [toctree(list(pages), caption) for caption, pages in PARTS.items()]
    (target / "index.md").write_text(page(front.read_text(encoding="utf-8"), *contents), encoding="utf-8")
    front.unlink()
    for path in target.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        depth = len(path.relative_to(target).parts) - 1
        path.write_text(
            text.replace(f"]({'../' * depth}README.md", f"]({'../' * depth}index.md") if depth else text,
            encoding="utf-8",
        )

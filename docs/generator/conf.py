"""Sphinx's configuration. Sphinx reads these names."""

import tomllib
from pathlib import Path

project = "livehouse"
author = "the livehouse contributors"
project_copyright = "the livehouse contributors, Apache-2.0"
version = release = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["version"]
html_title = f"livehouse {version}"
root_doc = "index"
extensions = ["myst_parser"]
html_theme = "furo"  # its fonts are the system's, and it loads nothing from other hosts
html_static_path = ["static"]
html_css_files = ["livehouse.css"]
html_copy_source = html_show_sphinx = False
html_theme_options: dict[str, list[str]] = {"top_of_page_buttons": []}
myst_heading_anchors = 4
highlight_language = "none"
suppress_warnings = ["misc.highlighting_failure"]  # Pygments has no lexer for DuckDB's SQL
pygments_style, pygments_dark_style = "friendly", "github-dark"
templates_path: list[str] = []

"""Write `report.html`: one file that opens anywhere, offline, and shows any range of days and apps.

`figures.py` reads the figures, `metrics.py` and `verdicts.py` declare what they mean, `charts.py` specifies the charts, and
`web/` holds layout and script. Names and messages are embedded as data only, and a Content-Security-Policy lets only the page's own two
scripts run.
"""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.errors import WarehouseError
from pipelines.files import replace_file
from pipelines.report.chart_bundle import CACHE, read_chart_bundle
from pipelines.report.figures import read_figures
from pipelines.report.metrics import list_terms
from pipelines.report.verdicts import VERDICTS

WEB = Path(__file__).parent / "web"
SCRIPTS = (
    "figures.js",
    "format.js",
    "ranges.js",
    "usage.js",
    "streams.js",
    "sessions.js",
    "livestream.js",
    "trust.js",
    "records.js",
    "answer.js",
    "charts.js",
    "export.js",
    "chart_values.js",
    "chart_access.js",
    "captions.js",
    "drawing.js",
    "printing.js",
    "main.js",
)
"""The page's own scripts, in their order on the page."""

STYLES = ("page.css", "parts.css", "print.css")


def write_report(connection: duckdb.DuckDBPyConnection, target: Path) -> Path:
    """Write the page of an open warehouse atomically, and return its path.

    Raises:
        WarehouseError: the marts are missing or outdated, or the file cannot be written.

    """
    page = render_page(read_figures(connection), target.parent / CACHE)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(target) as temporary:
            temporary.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise WarehouseError(
            f"{target} cannot be written: {error.strerror}; free disk space or fix permissions"
        ) from None
    return target


def render_page(figures: dict[str, Any] | None, cache: Path) -> str:
    """Render the page from the result of `read_figures`; None is a warehouse without a day."""
    drawing = read_chart_bundle(cache) if figures else None
    engine = as_script(drawing.script) if drawing else ""
    own = as_script("\n".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS)) if figures else ""
    environment = Environment(loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined)
    verdicts = {name: verdict._asdict() for name, verdict in VERDICTS.items()}
    figures = figures and figures | {"verdicts": verdicts}
    sessions = figures.pop("sessions") if figures else None
    return environment.get_template("page.html.j2").render(
        figures=as_json(figures) if figures else None,
        sessions=as_json(sessions),
        terms=list_terms(),
        charts=as_json(drawing.charts) if drawing else None,
        style=Markup("".join((WEB / name).read_text(encoding="utf-8") for name in STYLES)),  # noqa: S704 - our own files
        engine=engine,
        own=own,
        script_sources=" ".join(_source(script) for script in (engine, own) if script) or "'none'",
    )


def as_json(data: object) -> Markup:
    """Return JSON that is safe inside a script element, whatever text it holds."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - every character special to HTML is escaped


def as_script(code: str) -> Markup:
    """Return a script that no HTML parser ends early, in a scope of its own: the page's two scripts share no names."""
    code = code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return Markup(f"(() => {{\n{code}\n}})();")  # noqa: S704 - our own scripts


def _source(script: str) -> str:
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"

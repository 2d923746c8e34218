"""`report.html`: one file that opens anywhere, offline, and computes its figures in the browser.

What is shown is read by `figures.py`, drawn by what `charts.py` specifies, laid out by `web/`. Here it is put together:
the text of names and messages is data, and a Content-Security-Policy lets only the two scripts written here run.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines.errors import WarehouseError
from pipelines.files import replacing
from pipelines.marts.verdicts import VERDICTS
from pipelines.report.chart_bundle import CACHE, read_drawing
from pipelines.report.figures import read_figures
from pipelines.settings.settings import Settings

WEB = Path(__file__).parent / "web"
SCRIPTS = (
    "figures.js",
    "format.js",
    "usage.js",
    "streams.js",
    "trust.js",
    "records.js",
    "answer.js",
    "charts.js",
    "main.js",
)
"""The page's own scripts, in the order they stand in it."""


@dataclass(frozen=True)
class Rates:
    """What a minute costs, dollars: for the estimate only."""

    export: float
    """Of a recording, or of a meeting streamed out."""
    participant: float
    """Of a participant of a meeting."""


DEFAULT_RATES = Rates(
    export=Settings.model_fields["export_rate"].default,
    participant=Settings.model_fields["participant_rate"].default,
)


def write_report(published: Path, target: Path, rates: Rates = DEFAULT_RATES) -> Path:
    """Write the page of a published warehouse, whole or not at all, and return where it is."""
    with _opened(published) as connection:
        return write_report_from(connection, target, rates)


def write_report_from(connection: duckdb.DuckDBPyConnection, target: Path, rates: Rates) -> Path:
    """Write the page of the warehouse that is open."""
    figures = read_figures(connection)
    page = render_page(figures, target.parent / CACHE, rates)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            temporary.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise WarehouseError(
            f"{target} cannot be written: {error.strerror}; free disk space or fix permissions"
        ) from None
    return target


def render_page(figures: dict[str, Any] | None, kept: Path, rates: Rates = DEFAULT_RATES) -> str:
    """Make the page of what `read_figures` read; None is a warehouse without a day. `kept` is for `read_drawing`."""
    drawing = read_drawing(kept) if figures else None
    engine = as_script(drawing.script) if drawing else ""
    own = as_script("\n".join((WEB / name).read_text(encoding="utf-8") for name in SCRIPTS)) if figures else ""
    environment = Environment(loader=FileSystemLoader(WEB), autoescape=True, undefined=StrictUndefined)
    verdicts = {verdict: name for verdict, (name, _) in VERDICTS.items()}
    return environment.get_template("page.html.j2").render(
        figures=as_json(figures | {"rates": asdict(rates), "verdicts": verdicts}) if figures else None,
        charts=as_json(drawing.charts) if drawing else None,
        style=Markup((WEB / "page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
        engine=engine,
        own=own,
        script_sources=" ".join(_source(script) for script in (engine, own) if script) or "'none'",
    )


def as_json(data: object) -> Markup:
    """Return JSON that can stand inside a script element, whatever text is in it."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - nothing of HTML is left in it


def as_script(code: str) -> Markup:
    """Return a script that HTML does not end early, and whose names stay its own: the two scripts share none."""
    code = code.replace("</script", "<\\/script").replace("<!--", "<\\!--")
    return Markup(f"(() => {{\n{code}\n}})();")  # noqa: S704 - our own scripts


def _source(script: str) -> str:
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


@contextmanager
def _opened(published: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the readers' copy read-only, shut off from every other file."""
    if not published.exists():
        raise WarehouseError(f"{published} does not exist: run `livehouse nightly` or `livehouse demo`")
    try:
        with duckdb.connect(published, read_only=True, config={"enable_external_access": "false"}) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        raise WarehouseError(f"{published} cannot be read: {said}; see `livehouse doctor`") from None

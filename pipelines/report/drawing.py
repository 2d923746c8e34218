"""What draws the page's charts: their specifications, and one script. Neither depends on any figure.

Making them starts a JavaScript engine and loads Altair, two seconds and a hundred megabytes: too much for a night with
nothing new. So both are kept beside the page, under a name made of all that they are made of.
"""

import json
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple


class Drawing(NamedTuple):
    """Charts by the name of their data set, as Vega-Lite specifications, and the script that draws them."""

    charts: dict[str, dict[str, Any]]
    script: str


def read_drawing(kept: Path) -> Drawing:
    """Give what draws the charts, from the directory where it is kept, or made anew and kept there."""
    path = kept / f"charts-{_made_of()}.json"
    with suppress(OSError, ValueError, TypeError):  # absent, or not as it was written: made anew
        return Drawing(**json.loads(path.read_text(encoding="utf-8")))
    drawing = _made()
    with suppress(OSError):  # what cannot be kept is made again next time
        kept.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=kept, delete=False) as file:
            json.dump(drawing._asdict(), file)
        Path(file.name).replace(path)
        for other in set(kept.iterdir()) - {path}:
            other.unlink()
    return drawing


def _made_of() -> str:
    own = (Path(__file__).with_name(name).read_bytes() for name in ("charts.py", "drawing.py", "verdicts.py"))
    versions = f"{version('altair')} {version('vl-convert-python')}"
    return sha256(b"".join(own) + versions.encode()).hexdigest()[:16]


@cache
def _made() -> Drawing:
    import vl_convert  # noqa: PLC0415 - a JavaScript engine

    from pipelines.report.charts import chart_specifications  # noqa: PLC0415 - imports Altair

    return Drawing(chart_specifications(), str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")))

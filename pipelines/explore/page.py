"""The parts of the page: forms, tables, charts and downloads. Text of the warehouse is shown as text, never as Markdown."""

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import marimo as mo
import polars as pl

from pipelines.explore.charts import KINDS, NO_COLOR, Choice, draw_chart, numeric_columns, suggest_chart
from pipelines.explore.queries import Answer, QueryRunner, build_csv
from pipelines.explore.questions import FIRST_TABLE, SUMMARIES, Question, build_query, find_sources
from pipelines.marts.examples import Example, find_examples

EXAMPLES, QUESTION, SQL, TABLES = VIEWS = ("Examples", "Your question", "SQL", "Tables")

INTRODUCTION = """# livehouse
The published warehouse, read-only. All days and times are UTC."""

_FIRST_QUERY = "FROM marts.daily_usage ORDER BY day DESC, app_id LIMIT 100"

_PREVIEW_ROWS = 100


def _examples() -> dict[str, Example]:
    return {example.name: example for example in find_examples()}


def choose_example() -> mo.ui.dropdown:
    """Return the list of questions. Its value is the name of an example."""
    options = {example.question: name for name, example in _examples().items()}
    return mo.ui.dropdown(options, value=next(iter(options)), label="Question", full_width=True)


def fill_in_example(name: str) -> mo.ui.form[Any, Any]:
    """Return a form with a field for each parameter of an example."""
    fields = {
        parameter.name: mo.ui.text(
            value=parameter.default or "",
            placeholder=parameter.form,
            label=f"{parameter.name} ({parameter.form}): {parameter.description}",
            full_width=True,
        )
        for parameter in _examples()[name].parameters
    }
    template = mo.md("\n\n".join(f"{{{name}}}" for name in fields))
    return template.batch(**fields).form(submit_button_label="Run", bordered=False)


def show_sql(name: str) -> mo.Html:
    """Return the SQL of an example, folded."""
    return _fold_sql("SQL of this example", _examples()[name].sql)


def _fold_sql(title: str, text: str) -> mo.Html:
    return mo.accordion({title: mo.ui.code_editor(text, language="sql", disabled=True)})


def choose_source() -> mo.ui.dropdown:
    """Return the list of tables that a question can be about. Its value is the name of a table."""
    options = {f"{name}: {source.title}": name for name, source in find_sources().items()}
    first = next(label for label, name in options.items() if name == FIRST_TABLE)
    return mo.ui.dropdown(options, value=first, label="Table", full_width=True)


def fill_in_question(name: str) -> mo.ui.form[Any, Any]:
    """Return a form for a question about a table."""
    source = find_sources()[name]
    figures = {f"{figure} ({source.units[figure]})": figure for figure in source.figures}
    groupings = list(source.groupings)
    fields: dict[str, Any] = {
        "groups": mo.ui.multiselect(groupings, value=[source.day or groupings[0]], label="For each", full_width=True),
        "figures": mo.ui.multiselect(figures, value=list(figures)[:1], label="Show", full_width=True),
        "summary": mo.ui.dropdown(list(SUMMARIES), value="sum", label="as the", full_width=True),
    }
    if source.day:
        for field, label in (("first_day", "From"), ("last_day", "To")):
            fields[field] = mo.ui.text(placeholder="YYYY-MM-DD", label=f"{label} {source.day}", full_width=True)
    texts = [column for column, kind in source.types.items() if kind in {"VARCHAR", "BOOLEAN"}]
    fields |= {
        "column": mo.ui.dropdown(texts, value=texts[0], label="Only where", full_width=True),
        "text": mo.ui.text(placeholder="any", label="is", full_width=True),
    }
    rows = (("groups", "figures", "summary"), ("first_day", "last_day"), ("column", "text"))
    template = "".join(
        f'<div style="display: flex; gap: 1rem; margin-bottom: 1rem">{_draw_cells(field for field in row if field in fields)}</div>'
        for row in rows
    )
    return mo.md(template).batch(**fields).form(submit_button_label="Run", bordered=False)


def _draw_cells(fields: Iterable[str]) -> str:
    return "".join(f'<div style="flex: 1; min-width: 0">{{{field}}}</div>' for field in fields)


def _build_question(name: str, values: Mapping[str, Any]) -> str:
    texts = {field: str(value).strip() for field, value in values.items() if isinstance(value, str)}
    question = Question(
        values["groups"],
        values["figures"],
        texts["summary"],
        texts.get("first_day", ""),
        texts.get("last_day", ""),
        {texts["column"]: texts["text"]},
    )
    return build_query(find_sources()[name], question)


def run_question(runner: QueryRunner, name: str, values: Mapping[str, Any] | None) -> Answer | None:
    """Run a question; None before the form is submitted."""
    return None if values is None else runner.run(_build_question(name, values))


def show_question_sql(name: str, values: Mapping[str, Any] | None) -> mo.Html | None:
    """Return the SQL of a question, folded; None before the form is submitted."""
    return None if values is None else _fold_sql("SQL of this question", _build_question(name, values))


def write_sql() -> mo.ui.form[Any, Any]:
    """Return a form with an editor for a query."""
    editor = mo.ui.code_editor(_FIRST_QUERY, language="sql", min_height=120, show_copy_button=False)
    return editor.form(submit_button_label="Run", bordered=False)


def run_example(runner: QueryRunner, name: str, values: Mapping[str, str] | None) -> Answer | None:
    """Run an example with the values of its form; None before the form is submitted."""
    if values is None:
        return None
    return runner.run(_examples()[name].sql, {field: value.strip() or None for field, value in values.items()})


def run_sql(runner: QueryRunner, text: str | None) -> Answer | None:
    """Run a query; None before the form is submitted."""
    return None if text is None else runner.run(text)


def list_tables(runner: QueryRunner) -> mo.ui.table | mo.Html:
    """Return the tables with their descriptions, to choose one from; or the error."""
    answer = runner.list_tables()
    if answer.frame is None:
        return _show_message(answer)
    return mo.ui.table(
        answer.frame,
        selection="single",
        page_size=50,
        show_download=False,
        show_column_summaries=False,
        show_data_types=False,
        column_widths={"meaning": 640},
        label="Choose a table to see its columns and first rows.",
    )


def show_columns(runner: QueryRunner, tables: mo.ui.table | mo.Html) -> mo.Html | None:
    """Return the columns of the chosen table, and its first rows."""
    chosen = tables.value if isinstance(tables, mo.ui.table) else None
    if not isinstance(chosen, pl.DataFrame) or chosen.is_empty():
        return None
    [name] = chosen["table"]
    columns, rows = runner.list_columns(name), runner.run(f"FROM {name} LIMIT {_PREVIEW_ROWS}")
    parts = [_show_message(answer) if answer.frame is None else show_frame(answer.frame) for answer in (columns, rows)]
    return mo.vstack([mo.md(f"### {name}"), parts[0], mo.md(f"First {_PREVIEW_ROWS} rows"), parts[1]])


def show_frame(frame: pl.DataFrame) -> mo.ui.table:
    """Return a result as a table that shows every value as it is: not rounded, nor in the browser's time zone."""
    exact: dict[str, str | Callable[..., Any]] = {
        name: _write_value for name, kind in frame.schema.items() if kind.is_float() or kind.is_temporal()
    }
    return mo.ui.table(
        frame,
        selection=None,
        page_size=20,
        format_mapping=exact,
        show_download=False,  # its CSV may contain formulas
        show_column_summaries=False,
        max_columns=None,
    )


def _write_value(value: object) -> str:
    return "" if value is None else str(value)


def _show_message(answer: Answer) -> mo.Html:
    style = "white-space: pre-wrap; overflow-wrap: anywhere"
    text = mo.Html(f'<div style="{style}">{escape(answer.message)}</div>')
    return mo.callout(text, kind="danger" if answer.frame is None else "neutral")


def show_answer(answer: Answer | None) -> mo.Html | None:
    """Return the result of a query with its downloads, or its error."""
    if answer is None:
        return None
    if answer.frame is None:
        return _show_message(answer)
    downloads = [
        mo.download(lambda: build_csv(answer.parquet), filename="livehouse.csv", mimetype="text/csv", label="CSV"),
        mo.download(
            answer.parquet,
            filename="livehouse.parquet",
            mimetype="application/vnd.apache.parquet",
            label="Parquet",
        ),
    ]
    notes = [_show_message(answer)] if answer.message else []
    return mo.vstack([*notes, show_frame(answer.frame), mo.hstack(downloads, justify="start")])


def choose_chart(answer: Answer | None) -> mo.ui.dictionary | None:
    """Return the fields of a chart; None if the result has nothing to draw."""
    if answer is None or answer.frame is None or not answer.frame.height:
        return None
    first = suggest_chart(answer.frame)
    if first is None:
        return None
    columns = answer.frame.columns
    return mo.ui.dictionary(
        {
            "kind": mo.ui.dropdown(KINDS, value=first.kind, label="Chart"),
            "x": mo.ui.dropdown(columns, value=first.x, label="across"),
            "y": mo.ui.dropdown(numeric_columns(answer.frame), value=first.y, label="height"),
            "color": mo.ui.dropdown([NO_COLOR, *columns], value=first.color, label="colour"),
        }
    )


def show_chart(answer: Answer, fields: mo.ui.dictionary) -> mo.Html:
    """Return the fields of a chart with the chart, or with the reason why it is not drawn."""
    assert answer.frame is not None  # noqa: S101 - as `choose_chart` requires
    drawn = draw_chart(answer.frame, Choice(**{name: str(chosen) for name, chosen in fields.value.items()}))
    shown = mo.plain_text(drawn) if isinstance(drawn, str) else mo.as_html(drawn)
    return mo.vstack([fields.hstack(justify="start", wrap=True), shown])

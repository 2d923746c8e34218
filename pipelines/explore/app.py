"""The page, as a marimo app: each function is a cell, which runs again when a value that it takes has changed."""

import marimo

app = marimo.App(width="medium", app_title="livehouse")


@app.cell
def _():
    import marimo as mo

    from pipelines.explore import page
    from pipelines.explore.queries import RUNNER

    runner = RUNNER
    return mo, page, runner


@app.cell
def _(mo, page):
    view = mo.ui.tabs(dict.fromkeys(page.VIEWS, ""))
    mo.vstack([mo.md(page.INTRODUCTION), view])
    return (view,)


@app.cell
def _(page):
    example_choice = page.choose_example()
    source_choice = page.choose_source()
    sql_form = page.write_sql()
    return example_choice, source_choice, sql_form


@app.cell
def _(example_choice, page):
    example_form = page.fill_in_example(example_choice.value)
    return (example_form,)


@app.cell
def _(page, source_choice):
    question_form = page.fill_in_question(source_choice.value)
    return (question_form,)


@app.cell
def _(example_choice, example_form, mo, page, question_form, source_choice, sql_form, view):
    mo.stop(view.value == page.TABLES)
    {
        page.EXAMPLES: mo.vstack([example_choice, example_form, page.show_sql(example_choice.value)]),
        page.QUESTION: mo.vstack(
            [source_choice, question_form, page.show_question_sql(source_choice.value, question_form.value) or ""]
        ),
        page.SQL: sql_form,
    }[view.value]
    return


@app.cell
def _(example_choice, example_form, page, runner):
    example_answer = page.run_example(runner, example_choice.value, example_form.value)
    return (example_answer,)


@app.cell
def _(page, question_form, runner, source_choice):
    question_answer = page.run_question(runner, source_choice.value, question_form.value)
    return (question_answer,)


@app.cell
def _(page, runner, sql_form):
    sql_answer = page.run_sql(runner, sql_form.value)
    return (sql_answer,)


@app.cell
def _(mo, page, runner, view):
    mo.stop(view.value != page.TABLES)
    table_choice = page.list_tables(runner)
    table_choice
    return (table_choice,)


@app.cell
def _(page, runner, table_choice):
    page.show_columns(runner, table_choice)
    return


@app.cell
def _(example_answer, page, question_answer, sql_answer, view):
    answers = {page.EXAMPLES: example_answer, page.QUESTION: question_answer, page.SQL: sql_answer}
    answer = answers.get(view.value)
    chart_choice = page.choose_chart(answer)
    page.show_answer(answer)
    return answer, chart_choice


@app.cell
def _(answer, chart_choice, mo, page):
    mo.stop(chart_choice is None)
    page.show_chart(answer, chart_choice)
    return


if __name__ == "__main__":
    app.run()

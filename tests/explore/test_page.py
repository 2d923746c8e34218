"""The page: a field for each parameter of an example, and nothing that runs code or loads from elsewhere."""

import asyncio
from typing import Any

import httpx
import pytest

from pipelines.explore.queries import Answer, QueryRunner
from pipelines.explore.questions import find_sources
from pipelines.marts.examples import find_examples
from pipelines.ui.guard import Guard

mo = pytest.importorskip("marimo", reason="the extra `explore` is not installed")

from pipelines.explore import page, server  # noqa: E402 - needs marimo


class NoRunner(QueryRunner):
    """Returns the query and parameters that it was given."""

    def run(self, text: str, parameters: Any = None) -> Answer:
        return Answer(None, f"{text} {parameters}")


def test_every_example_has_a_field_for_each_parameter() -> None:
    assert set(page.choose_example().options.values()) == {example.name for example in find_examples()}
    for example in find_examples():
        form = page.fill_in_example(example.name)
        shown = form.text
        for parameter in example.parameters:
            assert parameter.description in shown, parameter


def test_an_empty_field_is_null_and_nothing_runs_before_the_form_is_sent() -> None:
    example = find_examples()[0]
    assert page.run_example(NoRunner(), example.name, None) is None
    assert page.run_sql(NoRunner(), None) is None
    answer = page.run_example(NoRunner(), example.name, {"month": " "})
    assert answer is not None
    assert answer.message == f"{example.sql} {{'month': None}}"


def test_every_table_has_a_form_for_a_question_and_its_query_is_shown() -> None:
    sources = find_sources()
    assert set(page.choose_source().options.values()) == set(sources)
    values = {"groups": ["app_id"], "figures": [], "summary": "sum", "column": "app_id", "text": " aula "}
    for name, source in sources.items():
        assert (f"From {source.day}" in page.fill_in_question(name).text) == (source.day is not None)
        assert page.run_question(NoRunner(), name, None) is None
    answer = page.run_question(NoRunner(), "core.livestreams", values)
    assert answer is not None
    assert answer.message.startswith(
        """SELECT\n    app_id AS "app_id",\n    count(*) AS rows\nFROM core.livestreams\nWHERE app_id::VARCHAR = 'aula'\n"""
    )
    assert page.show_question_sql("core.livestreams", None) is None
    assert page.show_question_sql("core.livestreams", values) is not None


def test_an_error_is_shown_as_text() -> None:
    shown = page.show_answer(Answer(None, "<img src=x> **bold**"))
    assert shown is not None
    assert "&amp;lt;img" in shown.text, "escaped for the page, and once more for the attribute"
    assert "<img" not in shown.text
    assert "<strong>" not in shown.text


def send(method: str, path: str, **options: Any) -> httpx.Response:
    app = server.create_app("/here")
    guard = Guard(app, port=3001, path_prefix="/here", token="token", content_policy=server.CONTENT_POLICY)

    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app=guard)
        headers = {"authorization": "Bearer token"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:3001", headers=headers) as client:
            return await client.request(method, f"/here{path}", **options)

    return asyncio.run(answer())


@pytest.mark.long
def test_the_page_runs_no_code_of_its_client() -> None:
    for path in (
        "kernel/run",
        "kernel/save",
        "kernel/scratchpad/run",
        "kernel/instantiate",
        "files/list_files",
        "terminal",
    ):
        assert send("POST", f"/api/{path}", json={}).status_code in {401, 403, 404, 405}, path


def test_the_page_loads_nothing_from_other_hosts() -> None:
    answered = send("GET", "/")
    assert answered.status_code == 200
    policy = answered.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "*" not in policy

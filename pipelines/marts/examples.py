"""Examples: the questions of `sql/examples/`, each one SELECT over the published warehouse."""

from dataclasses import dataclass

from pipelines.marts.build import sql_directory


@dataclass(frozen=True)
class Example:
    """One question, and the query that answers it."""

    name: str
    question: str
    sql: str


def find_examples() -> tuple[Example, ...]:
    """Every example, in the order of their numbers."""
    examples = []
    for path in sorted((sql_directory() / "examples").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        question = sql.partition("\n")[0].removeprefix("-- ")
        examples.append(Example(path.stem, question, sql))
    return tuple(examples)

"""Examples: each file in `sql/examples/` is one SELECT over the published warehouse that answers a question."""

from dataclasses import dataclass

from pipelines.marts.sql_files import sql_directory


@dataclass(frozen=True)
class Example:
    """A question, and the query that answers it."""

    name: str
    question: str
    sql: str


def find_examples() -> tuple[Example, ...]:
    """Return every example, in the order of the file names."""
    examples = []
    for path in sorted((sql_directory() / "examples").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        question = sql.partition("\n")[0].removeprefix("-- ")
        examples.append(Example(path.stem, question, sql))
    return tuple(examples)

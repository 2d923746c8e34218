"""Examples: each file in `sql/examples/` is one SELECT over the published warehouse that answers a question.

Its head is a comment: the question, then a line for each parameter, `-- param: NAME (FORM) = DEFAULT: description`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.marts.sql_files import sql_directory
from pipelines.text import quoted


@dataclass(frozen=True)
class Parameter:
    """A named parameter of a query, `$name` in its SQL. Values are text, which the SQL converts; None is NULL."""

    name: str
    form: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Example:
    """A question, and the query that answers it."""

    name: str
    question: str
    sql: str
    parameters: tuple[Parameter, ...]

    @property
    def defaults(self) -> dict[str, str | None]:
        """The default of each parameter."""
        return {parameter.name: parameter.default for parameter in self.parameters}

    def fill(self, values: Mapping[str, str | None] | None = None) -> str:
        """Return the SQL with values in place of its parameters, for a program that has none."""
        text = self.sql
        for name, value in (self.defaults | dict(values or {})).items():
            literal = "NULL" if value is None else quoted(value)
            text = re.sub(rf"\${name}\b", literal.replace("\\", r"\\"), text)
        return text


_PARAMETER = re.compile(r"^-- param: (\w+) \((.+?)\) = (.+?): (.+)$", re.MULTILINE)


def find_examples() -> tuple[Example, ...]:
    """Return every example, in the order of the file names."""
    examples = []
    for path in sorted((sql_directory() / "examples").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        question = sql.partition("\n")[0].removeprefix("-- ")
        parameters = tuple(
            Parameter(name, form, None if default == "NULL" else default, description)
            for name, form, default, description in _PARAMETER.findall(sql)
        )
        examples.append(Example(path.stem, question, sql, parameters))
    return tuple(examples)

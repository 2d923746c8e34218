"""Write Markdown from values of the program."""

import re
from collections.abc import Iterable, Sequence


def heading(level: int, text: str) -> str:
    """Return a heading."""
    return f"{'#' * level} {text}"


def code(text: object) -> str:
    """Return text as inline code."""
    return f"`{text}`"


def codes(texts: Iterable[object]) -> str:
    """Return texts as inline code, separated by commas."""
    return ", ".join(map(code, texts))


def cell(text: str) -> str:
    """Return text as a cell of a table: on one line, with a `|` escaped."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def plain(text: str) -> str:
    """Return text that is not Markdown with the characters escaped that Markdown would interpret, outside of inline code."""
    parts = text.split("`")
    for number in range(0, len(parts), 2):
        parts[number] = re.sub(r"([_<\[\]{}$])", r"\\\1", parts[number])
    return "`".join(parts)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    lines = [list(head), ["---"] * len(head), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(language: str, text: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{text.strip()}\n```"


def page(*blocks: str) -> str:
    """Return a page: blocks separated by empty lines, without those that are empty."""
    return "\n\n".join(block.strip() for block in blocks if block.strip()) + "\n"

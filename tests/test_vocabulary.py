"""The retired idiom stays out of code, messages, SQL, documents and tests; each hit names the term to use instead.

`python tests/test_vocabulary.py PATH…` lists the hits in files and directories.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
BE = "(?:is|are|was|were|be|been|being)"

ANYWHERE = {
    "houses?": "run (RunContext), home, or lock",
    "said": "message, log, report, state",
    "told": "log, notify, report; distinguish, for `told apart`",
    "tells? (?:[a-z]+ ){0,3}apart": "distinguish",
    "hushed": "quiet",
    "anew": "again, from scratch: rebuild, restart, reopen",
    "likewise": "the same way, also",
    "news": "change, changed rows",
    "by the batch": "in batches",
    "at hand": "loaded, available",
    "set aside": "quarantine",
    "stands?|stood|standing": "is current, is kept, applies, is",
    "whoever|whomever|whosoever": "name the role: a reader, a user, a caller",
    "somebody": "name the role: a user, another process",
    "glance": "preview",
    "messy": "name what is wrong with the value; value_styles",
    "all else": "everything else",
    "(?:a|one|each|every|last|next|latest|first|second|two|between) looks?(?! (?:at|for|like))": "poll, observation",
    "a look": "poll, observation, check",
    f"{BE} asked|asked (?:of|about)": "request, fetch, query",
    f"(?<!there ){BE} (?-i:none)(?! ?-?[%}}])(?! of)": "is not one; there is no …; is missing",
    "one (?!is|has|was|of|in|for|as|gets?|with|at|on|to|by|from|that|or|and|than|be|may|can|after|before|not|does|more"
    "|such|who|which|over|had|were|would|will|when|where|until|without|about|into|beside)[a-z]+ an? (?!few|second)[a-z]+(?! ago)": (
        "one … per …"
    ),
}
"""Regular expressions of the idiom, in any text or name, and the terms to use. A blank is any white space, `_` or a line break."""

IN_NAMES = {
    "ask|asks|asking|asked": "request, fetch, query; uses_api",
    "say|says|saying": "log, notify, report, describe",
    "tell|tells|telling": "log, notify, report, distinguish",
    "look|looks|looked|looking": "poll, inspect, preview, check",
    "eyes?": "LivePoller",
    "odd": "warnings, findings, invalid",
    "blows?": "FaultOptions",
    "strange": "unexpected, unknown, invalid",
}
"""Parts of the names in code that the field has a better word for, which are plain English in a sentence."""

PUBLIC_NAMES = r"\b(?:looked_at|stands_still|livehouse_failure_is_told_by)\b|\bsaid\b(?=.*# public name)"
"""Columns, JSON keys and tags of stored runs keep their names; `said` is one only in lines that are marked."""

SENTENCE = re.compile(
    r'(?:"""|/\*\* |(?:^|[ \t])(?:#|--|//|\|) |[a-z`)][.;:] )(Who|Whoever|What|Whatever|Which)\s[^.?!|]*', re.MULTILINE
)
SUBJECT = "name the subject: a sentence does not start with who, what or which"

BINARY = {".png", ".ico", ".woff2", ".xz"}
FOREIGN = ("LICENSE", "constraints.txt", "deploy/requirements.txt", "tests/payloads/", "tests/test_vocabulary.py")
"""Text of others, and the word list."""

GLUE = r"(?:[\s*|]|#|--|//)+"
BLANK = r"(?<=[\w)?!]) (?=[\w(\[])"
"""Between two words of a phrase: white space, also a line break and the mark of a comment behind it."""


def compiled(words: dict[str, str]) -> re.Pattern[str]:
    every = "|".join(f"(?P<w{number}>{pattern})" for number, pattern in enumerate(words))
    return re.compile(rf"\b(?:{re.sub(BLANK, lambda _: GLUE, every)})\b", re.IGNORECASE)


PHRASES, PARTS = compiled(ANYWHERE), compiled(IN_NAMES)
_WORD = rf"(?:{'|'.join(IN_NAMES)})\b"
IN_CODE = re.compile(rf"\b{_WORD} *[-+=(\[.:,)\]]|(?:as|for|if|import|in|is|not|or|return) {_WORD}", re.IGNORECASE)
"""Where one of those words may be a name of Python code: reading all code as tokens would take seconds."""
NAME = re.compile(r"[A-Za-z]\w*_\w*|\b[a-z]+[A-Z]\w*|\b[A-Z][a-z]+[A-Z]\w*")


class Hit(NamedTuple):
    path: str
    line: int
    found: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.found!r} → {self.instead}"


def in_words(text: str) -> str:
    """The text with the words of its names parted: `asked_again` and `HouseBusy` become two words each."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text.replace("_", " "))


def names_of(text: str, suffix: str) -> Iterator[tuple[int, str]]:
    """The names in a text, by line: what has an underscore or an inner capital, and every name of Python code."""
    for number, line in enumerate(text.splitlines(), 1):
        if PARTS.search(in_words(line)):
            yield from ((number, name) for name in NAME.findall(line))
    if suffix == ".py" and IN_CODE.search(text):
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and not NAME.fullmatch(token.string):
                yield token.start[0], token.string


def hits(path: str, text: str) -> Iterator[Hit]:
    text = re.sub(PUBLIC_NAMES, "public_name", text)

    def line(searched: str, at: int) -> int:
        return searched.count("\n", 0, at) + 1

    instead_of, instead_in_names = list(ANYWHERE.values()), list(IN_NAMES.values())
    for searched, first in ((in_words(path), 0), (in_words(text), None)):
        for match in PHRASES.finditer(searched):
            at = line(searched, match.start()) if first is None else first
            yield Hit(path, at, " ".join(match[0].split()), instead_of[int(str(match.lastgroup)[1:])])
    for number, name in [(0, Path(path).stem), *names_of(text, Path(path).suffix)]:
        if part := PARTS.search(in_words(name)):
            yield Hit(path, number, name, instead_in_names[int(str(part.lastgroup)[1:])])
    for match in SENTENCE.finditer(text):
        is_heading = Path(path).suffix == ".md" and text[: match.start(1)].rpartition("\n")[2].startswith("#")
        if not is_heading and text[match.end() : match.end() + 1] != "?":
            yield Hit(path, line(text, match.start(1)), " ".join(match[0].split()[:4]), SUBJECT)


@cache
def found() -> dict[str, list[Hit]]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = [path for path in listed if not path.startswith(FOREIGN) and Path(path).suffix not in BINARY]
    return {path: list(hits(path, (ROOT / path).read_text())) for path in ours if (ROOT / path).is_file()}


@pytest.mark.long  # `make lint` runs this file as a program
def test_the_retired_idiom_is_nowhere() -> None:
    new = [hit for hits_there in found().values() for hit in hits_there]
    assert not new, "\n".join(map(str, new[:60]))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("x.py", "class HouseBusyError: ..."),
        ("x.py", "def test_who_is_told_waits() -> None: ..."),
        ("x.py", "asked = 1"),
        ("x.py", '"""What a table is made of."""'),
        ("x.py", "# Rows are made\n# anew by each run."),
        ("x.py", "# none of them\nif a_value: # a thing that is none\n    pass"),
        ("x.sql", "-- The version that stands, by app."),
        ("x.js", "/** What is shown. */ const lineSaid = 1"),
        ("x.md", "It prints one line an error."),
        ("x.md", "Pages are asked for one by one."),
        ("tests/houses.py", ""),
    ],
)
def test_the_idiom_is_found(path: str, text: str) -> None:
    assert list(hits(path, text))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("x.py", "lookback_days = lookup(warehouse) is None"),
        ("x.py", "# Is there none? The livehouse of a lakehouse, a standalone file, one of a kind."),
        ("x.md", "## What it costs\n\nWhat does it cost? Ask the API which days it has, and look at them."),
        ("x.md", "Understand one request as a unit: four requests a second, one is a retry."),
        ("x.html.j2", "{% if figures is none -%}"),
    ],
)
def test_plain_english_is_not(path: str, text: str) -> None:
    assert [str(hit) for hit in hits(path, text)] == []


if __name__ == "__main__":
    listed = [
        hit for hits_there in found().values() for hit in hits_there if hit.path.startswith(tuple(sys.argv[1:]) or "")
    ]
    print(*listed, sep="\n", end="\n" if listed else "")  # noqa: T201 - the list was requested
    sys.exit(bool(listed))

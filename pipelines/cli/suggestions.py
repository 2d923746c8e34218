"""Suggest a known name for one that does not exist."""

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `: did you mean 'NAME'?` with the closest known name, or an empty text if none is close."""
    from difflib import get_close_matches

    by_spelling = {spelling.lower(): name for name in known for spelling in (name.rpartition(".")[2], name)}
    found = get_close_matches(word.lower(), by_spelling, 1, 0.6)
    return f": did you mean {by_spelling[found[0]]!r}?" if found else ""

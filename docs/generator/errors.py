"""The reference of errors: each class with its cause and remedy, and every message that the program raises, from the code."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

from docs.generator.markdown import code, heading, page, plain
from pipelines import errors
from pipelines.errors import LivehouseError, SettingsError, UsageError

PACKAGE = Path(errors.__file__).parent
CLICK_ERRORS = ("BadParameter", "ClickException", "UsageError")
"""Errors of arguments that click reports, with exit status 2."""

REMEDIES = {
    "LivehouseError": "The message names it. If it does not help, run `livehouse doctor`.",
    "SettingsError": "Correct the variable that the message names, in the environment or in `.env`; `livehouse doctor` checks the result.",
    "UsageError": "Correct the arguments; `livehouse COMMAND --help` lists them.",
    "ApiError": "Read the API's own message, which is quoted. Other apps are loaded; the next run fetches the rest.",
    "TransientApiError": "None at first: requests are retried up to six times. If the run failed all the same, run the command again later.",
    "ApiRefusedError": "401 and 403: check the token's *Realtime* permission, the account and the app. A bot check or a proxy: the message "
    "says how it answered. `livehouse doctor` tries each operation.",
    "NotFoundError": "Check `REALTIMEKIT_APP_ID` and the identifiers in the command.",
    "UnexpectedReplyError": "The service changed: update livehouse, or report the message together with `livehouse doctor --json`.",
    "IncompleteListError": "Run the command again: nothing was published from a list that is not complete.",
    "ApiUnreachableError": "Check the network, the proxy and `CLOUDFLARE_BASE_URL`; `livehouse doctor` says which step fails.",
    "ClockError": "Set the machine's clock (NTP), or choose days that have begun.",
    "AlreadyRunningError": "Wait for the run that the message names, or end it. `LIVEHOUSE_LOCK_WAIT_SECONDS` is how long a run waits.",
    "WarehouseError": "Follow the message: free space, fix permissions, or restore the file; see [Back up and restore](../how-to/backup.md).",
    "QueryError": "Correct the query at the place that the caret marks. `livehouse sql --tables` lists tables, `--columns TABLE` their columns.",
    "RunFailedError": "Each line names its own remedy. The run's page in `livehouse ui` has the details; the next run continues.",
    "RunStoppedError": "Run the same command again: it resumes.",
}
"""The advice for each class of error."""


def error_classes() -> dict[str, type[LivehouseError]]:
    """Return every class of error by its name, those of `pipelines/errors.py` first, in the order of that file."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if re.search(r"^class \w+\(\w+Error\):", path.read_text(encoding="utf-8"), re.MULTILINE):
            importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
    found: dict[str, type[LivehouseError]] = {}

    def add(kind: type[LivehouseError]) -> None:
        found.setdefault(kind.__name__, kind)
        for child in kind.__subclasses__():
            if child.__module__.startswith("pipelines"):
                add(child)

    add(LivehouseError)
    return found


def _text_of(node: ast.expr) -> str:
    """Return the text of a message, with `…` for each value that is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(map(_text_of, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text_of(node.left) + _text_of(node.right)
    if isinstance(node, ast.IfExp):
        return _text_of(node.body)
    return "…"


def messages() -> Iterator[tuple[str, str]]:
    """Yield the class and the text of each error that is created with a message of its own."""
    known = {*error_classes(), *CLICK_ERRORS}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "simulator" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in known:
                continue
            text = " ".join(re.sub(r"(?:… ?)+…", "…", _text_of(node.args[0])).split())
            if len(re.findall(r"[a-z]{2,}", text)) > 1:
                yield ("UsageError" if name in CLICK_ERRORS else name), text


def _cause(kind: type[LivehouseError]) -> str:
    return plain(" ".join(str(kind.__doc__).split()))


def errors_page() -> str:
    """Return the page of all errors. A class without a remedy raises `KeyError`."""
    by_class: dict[str, set[str]] = {}
    for name, text in messages():
        by_class.setdefault(name, set()).add(text)
    blocks = [
        heading(1, "Errors"),
        (
            "Every error is one line on stderr: what is wrong, where, and what to do. Below, `…` is a value that the message fills in. "
            "Search this page for a few words of your message."
        ),
    ]
    for name, kind in error_classes().items():
        status = 2 if issubclass(kind, SettingsError | UsageError) else 1
        retried = " Repeating the command can help." if kind.can_retry else ""
        blocks += [
            heading(2, code(name)),
            f"**Cause:** {_cause(kind)}",
            f"**Remedy:** {REMEDIES[name]}",
            f"Exit status {status}.{retried}",
            "\n".join(f"- {plain(text)}" for text in sorted(by_class.get(name, ()), key=str.lower)),
        ]
    return page(*blocks)

"""The reference of the command line, from click."""

import inspect
from collections.abc import Iterator

import click

from docs.generator.markdown import code, codes, fenced, heading, page, plain, table
from pipelines.cli import COMMANDS, cli


def walk(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield a context for a command and, in order, each of its subcommands."""
    context = click.Context(command, info_name=name, parent=parent)
    yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from walk(found, child, context)


def undocumented() -> list[str]:
    """Return the commands without a description and the options without a help text."""
    missing = []
    for context in walk(cli, "livehouse"):
        if not context.command.help:
            missing.append(context.command_path)
        options = [parameter for parameter in context.command.params if isinstance(parameter, click.Option)]
        missing += [f"{context.command_path} {option.opts[0]}" for option in options if not option.help]
    return missing


def _option_row(option: click.Option, context: click.Context) -> tuple[str, str, str]:
    names = codes((*option.opts, *option.secondary_opts))
    if not option.is_flag:
        names += f" {code(option.make_metavar(context))}"
    default = option.get_default(context, call=True)
    shown = option.show_default and default not in (None, "", ()) and not option.is_flag
    text = plain(option.help or "") + (
        " Repeatable." if option.multiple and "Repeatable" not in str(option.help) else ""
    )
    return names, code(default) if shown else "-", text


def _describe(context: click.Context, level: int) -> list[str]:
    command = context.command
    blocks = [
        heading(level, f"`{context.command_path}`"),
        plain(inspect.cleandoc(command.help or "").replace("\b", "")),
    ]
    if not isinstance(command, click.Group):
        usage = " ".join((context.command_path, *command.collect_usage_pieces(context)))
        blocks.append(fenced("text", usage))
    options = [
        parameter for parameter in command.params if isinstance(parameter, click.Option) and not parameter.hidden
    ]
    if options:
        blocks.append(table(("option", "default", "meaning"), (_option_row(option, context) for option in options)))
    return blocks


def commands_page() -> str:
    """Return the page of all commands."""
    blocks = [
        heading(1, "Commands"),
        "Every command also has `--help`. [Output and exit statuses](output.md) are the same for all.",
        table(
            ("command", "what it does"),
            ((code(f"livehouse {name}"), plain(text)) for name, (_, text) in COMMANDS.items()),
        ),
    ]
    for context in walk(cli, "livehouse"):
        depth = len(context.command_path.split())
        if depth > 1:
            blocks += _describe(context, depth)
    return page(*blocks)

"""Days as arguments of a command."""

from datetime import date, datetime

import click


def day(text: str) -> date:
    """Read a day written YYYY-MM-DD, for `type=`: what is wrong is then told with the argument's name."""
    try:
        # not fromisoformat, which takes 20261122 and 2026-W47-7 too
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no time zone
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a day: write it YYYY-MM-DD, as 2026-11-22") from None

"""Check that `.env` can be read and trusted. Its values are read in `settings.py`."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from dotenv.parser import parse_stream

from pipelines.errors import SettingsError


def check_env_file(path: Path) -> None:
    """Raise `SettingsError` for a file that could not be read completely, or that another user can write.

    The file decides where the token is sent: another user who places one in the working directory would receive it.
    """
    if path.is_dir() or not os.path.lexists(path):  # a directory of that name is a virtual environment
        return
    try:
        held = path.stat()
        trusted = {0, os.geteuid()}
        for link in _follow_links(path):
            if link.lstat().st_uid not in trusted:
                raise SettingsError(
                    f"{link} is a link that another user made: remove it, or `chown -h $(id -un) {link}`"
                )
        if held.st_uid not in trusted:
            raise SettingsError(
                f"{path} belongs to another user, who could have the token sent elsewhere: `chown $(id -un) {path}`"
            )
        if held.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise SettingsError(
                f"{path} can be written by others, who could have the token sent elsewhere: `chmod go-w {path}`"
            )
        if stat.S_ISFIFO(held.st_mode):  # read once
            return
        with path.open(encoding="utf-8") as file:
            wrong = [binding.original.line for binding in parse_stream(file) if binding.error]
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    if wrong:
        raise SettingsError(f"{path}, line {wrong[0]}, is not NAME=value: correct it, or put # in front of it")


def _follow_links(path: Path) -> Iterator[Path]:
    """Yield the path if it is a link, and every further link up to the file. The file exists, so the links end."""
    while path.is_symlink():
        yield path
        path = path.parent / path.readlink()

"""Replace files atomically while others read them, also through symbolic links; the directory of generated package data."""

import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.errors import WarehouseError

PACKAGE_DATA = Path(__file__).with_name("package_data")
"""Files that `hatch_build.py` generates when the package is built. They may be missing or outdated in a checkout."""

TEMPORARY_PREFIX = ".livehouse-"
"""The prefix of temporary directories. `tempfile` adds eight characters."""

_FORMER_MODE = 0o644
"""The mode of every `report.html` until 2026-11, whatever the umask: no user has chosen it."""


def find_target(path: Path) -> Path:
    """Return the file to replace: the path itself, or the target of its symbolic links.

    Raises `WarehouseError` if the target does not exist: a disk that is not mounted would be mistaken for an empty one.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_file():
        return target
    if target.exists() and not target.is_symlink():
        raise WarehouseError(
            f"{path} is a link to {target}, which is not a file: link it to a file, or remove the link"
        )
    raise WarehouseError(
        f"{path} is a link to {target}, which does not exist: mount its disk, create an empty file there, or remove the link"
    )


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file to write; then replace the file by it, completely or not at all.

    A new file gets the mode that the umask gives; the mode that a user gave an existing file is kept.
    """
    target = find_target(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        with suppress(FileNotFoundError):
            if target.stat().st_mode & 0o777 != _FORMER_MODE:
                shutil.copymode(target, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def find_temporary_files(path: Path) -> Iterator[Path]:
    """Return the temporary files of `replace_file`, of killed processes or of ones that still write."""
    with suppress(WarehouseError):
        target = find_target(path)
        name = re.compile(rf"{re.escape(f'.{target.name}.')}[0-9a-f]{{8}}\.tmp")
        yield from (entry for entry in target.parent.iterdir() if name.fullmatch(entry.name) and entry.is_file())


def remove_temporary_directories(directory: Path, names: Collection[str]) -> None:
    """Remove the temporary directories of killed processes, if they contain only files of these names."""
    for entry in directory.glob(f"{TEMPORARY_PREFIX}*"):
        if (
            re.fullmatch(rf"{re.escape(TEMPORARY_PREFIX)}[a-z0-9_]{{8}}", entry.name)
            and entry.is_dir()
            and not entry.is_symlink()
        ):
            with suppress(OSError):
                if {held.name.removesuffix(".wal") for held in entry.iterdir()} <= set(names):
                    shutil.rmtree(entry)

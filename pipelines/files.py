"""Files that others read while they are replaced: written whole, swapped in, through symbolic links."""

import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.errors import WarehouseError

PASSING = ".livehouse-"
"""How directories begin that exist for a moment only. `tempfile` adds eight characters."""

_FORMER_MODE = 0o644
"""Which mode `report.html` was given until 2026-11, whatever the umask: it is nobody's decision."""


def find_target(path: Path) -> Path:
    """Return the file that replaces what a path leads to: the path itself, or where its symbolic links end.

    Raises `WarehouseError` where they end nowhere: a disk that is not mounted would be taken for one that is empty.
    """
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_file():
        return target
    if target.exists() and not target.is_symlink():
        raise WarehouseError(f"{path} is a link to {target}, which is no file: let it lead to a file, or remove it")
    raise WarehouseError(
        f"{path} is a link to {target}, which does not exist: mount its disk, make an empty file there, or remove the link"
    )


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the name of a new file, as the umask makes files, to write; then swap it in, whole or not at all.

    A mode that somebody gave the file before stays.
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


def leftovers_of(path: Path) -> Iterator[Path]:
    """Return what `replacing` was writing when it was killed, or is writing in another process."""
    with suppress(WarehouseError):
        target = find_target(path)
        name = re.compile(rf"{re.escape(f'.{target.name}.')}[0-9a-f]{{8}}\.tmp")
        yield from (entry for entry in target.parent.iterdir() if name.fullmatch(entry.name) and entry.is_file())


def remove_passing(directory: Path, names: Collection[str]) -> None:
    """Remove the directories of killed processes that exist for a moment only, and hold nothing but files of those names."""
    for entry in directory.glob(f"{PASSING}*"):
        if (
            re.fullmatch(rf"{re.escape(PASSING)}[a-z0-9_]{{8}}", entry.name)
            and entry.is_dir()
            and not entry.is_symlink()
        ):
            with suppress(OSError):
                if {held.name.removesuffix(".wal") for held in entry.iterdir()} <= set(names):
                    shutil.rmtree(entry)

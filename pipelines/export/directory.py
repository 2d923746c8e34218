"""Replaces an export in a directory as a whole, while readers open its files.

    DIR/.exports/20261128T021500-1f2e3d4c/     one export: core/, marts/, ops/, export.json
    DIR/.current -> .exports/2026…             replaced atomically: all tables change at once
    DIR/core -> .current/core                  the same for marts, ops and export.json; never changed

Days that were not loaded again are hard links to the files of the export before. That one is kept, for readers that have
resolved the link and go on with its files.
"""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pipelines.errors import WarehouseError
from pipelines.export.dbt_sources import SOURCES
from pipelines.export.files import ExportedFile
from pipelines.export.manifest import MANIFEST, parse_manifest
from pipelines.storage.lock import exclusive_lock

_SHOWN = ("core", "marts", "ops", MANIFEST, SOURCES)
_EXPORT_NAME = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")


class ExportDirectory:
    """A directory with exports. `root` is the one that is being written."""

    def __init__(self, directory: Path, now: datetime, *, for_dbt: bool = False) -> None:
        """Take the directory, and the time that names the new export. `for_dbt`: it is described to dbt."""
        self.directory = directory
        self.exports = directory / ".exports"
        self.current = directory / ".current"
        self.new = self.exports / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self.root = str(self.new)
        self.previous: Sequence[ExportedFile] = ()
        self.kept = 0
        # Files that dbt reads must not vanish with the next night.
        self.for_dbt = for_dbt or (self.current / SOURCES).is_file()

    def is_unchanged(self, path: str) -> bool:
        """Whether a file of the current export is as it was written: neither deleted nor edited after its manifest."""
        try:
            written_at, changed_at = ((self.current / name).stat().st_mtime_ns for name in (MANIFEST, path))
        except FileNotFoundError:
            return False
        return changed_at <= written_at

    def keep(self, path: str) -> None:
        """Link a file of the current export into the new one; copy it where the file system has no hard links."""
        file = self.new / path
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            file.hardlink_to(self.current / path)
        except OSError:
            shutil.copyfile(self.current / path, file)
        self.kept += 1

    def make_directory(self, path: str) -> None:
        """Create a directory in the new export."""
        (self.new / path).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def replaced(self, *, wait_seconds: float, log: Callable[[str], None]) -> Iterator[None]:
        """Create the new export; then, if no error is raised, make it the current one and delete older ones."""
        self._check_is_ours()
        self.exports.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(self.exports / "lock", wait_seconds=wait_seconds, log=log):
            try:
                if (self.current / MANIFEST).is_file():
                    self.previous = parse_manifest((self.current / MANIFEST).read_text(encoding="utf-8"))
                yield
                os.sync()  # a power failure must not leave a current export with empty files
                before = self._find_current()
                self._link(self.current, Path(".exports") / self.new.name)
                for name in _SHOWN:
                    if (self.new / name).exists():
                        self._link(self.directory / name, Path(".current") / name)
                    elif self._is_ours(self.directory / name):
                        (self.directory / name).unlink()
                self._remove_all_but({self.new.name, before})
            except BaseException:
                if self._find_current() != self.new.name:  # else readers have it already
                    shutil.rmtree(self.new, ignore_errors=True)
                raise

    def _find_current(self) -> str | None:
        """Return the name of the current export."""
        return self.current.readlink().name if self.current.is_symlink() else None

    def _check_is_ours(self) -> None:
        """Raise `WarehouseError` if a name of an export is taken by a file that livehouse has not created."""
        needed = [name for name in _SHOWN if name != SOURCES or self.for_dbt]
        for path in (*(self.directory / name for name in needed), self.current):
            if os.path.lexists(path) and not self._is_ours(path):
                raise WarehouseError(f"{path} exists, and is not from `livehouse export`: choose another directory")

    def _is_ours(self, path: Path) -> bool:
        if not path.is_symlink():
            return False
        target = path.readlink()
        return target.parent == Path(".exports") if path == self.current else target == Path(".current") / path.name

    @staticmethod
    def _link(path: Path, target: Path) -> None:
        """Make a path a symbolic link to a target, atomically."""
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
        try:
            temporary.symlink_to(target)
            temporary.replace(path)
        finally:
            with suppress(FileNotFoundError):
                temporary.unlink()

    def _remove_all_but(self, kept: set[str | None]) -> None:
        for entry in self.exports.iterdir():
            if _EXPORT_NAME.fullmatch(entry.name) and entry.name not in kept:
                shutil.rmtree(entry, ignore_errors=True)

"""Defers imports that Dagster makes and a run does not use until something of them is used: Dagster has no option for it.

With alembic come mako, pygments and SQLAlchemy's dialects of other databases; with Dagster's daemon come its scheduler, structlog and
rich; its backfills, components and state storage bring 100 modules more. Together they took a fifth of the imports of a run.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

_DEFERRED = (
    "alembic",
    "dagster._core.execution.backfill",  # of the UI: those of the command line are one run
    "dagster.components",
    "tqdm",  # progress bars of migrations
)
"""Packages and modules of which a run with an existing history uses nothing."""
_DAEMON = "dagster._daemon"
"""A package whose `types` the storages need, without what its `__init__` imports."""


class _Deferred:
    """A class or function that is imported when it is called, or an attribute of it is read."""

    def __init__(self, resolve: Callable[[], Any]) -> None:
        self._resolve = resolve

    @cached_property
    def _imported(self) -> Any:  # noqa: ANN401 - anything
        return self._resolve()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - same
        if any(isinstance(finder, _Finder) for finder in sys.meta_path):  # a decorator: `@dg.definitions`
            return _Deferred(lambda: self._imported(*args, **kwargs))
        return self._imported(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - same
        return getattr(self._imported, name)

    def __or__(self, other: object) -> object:  # in annotations that Python evaluates
        return Any

    __ror__ = __or__


class _Placeholder(ModuleType):
    """A module of which every name is deferred."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - same
        if name.startswith("__"):
            raise AttributeError(name)
        return _Deferred(lambda: getattr(import_module(self.__name__), name))


class _Finder(MetaPathFinder, Loader):
    """Finds placeholders for the modules that are deferred, and for those below them."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        if not any(fullname == name or fullname.startswith(f"{name}.") for name in _DEFERRED):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.found.append(spec.name)
        return _Placeholder(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


@contextmanager
def defer_unused_imports() -> Iterator[None]:
    """Let the modules that are imported meanwhile do without these packages, which stay importable."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    if _DAEMON not in sys.modules and (spec := find_spec(_DAEMON)):
        finder.found.append(_DAEMON)
        sys.modules[_DAEMON] = ModuleType(_DAEMON)
        sys.modules[_DAEMON].__path__ = spec.submodule_search_locations or []
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.found:
            placeholder = sys.modules.pop(name, None)
            package, _, attribute = name.rpartition(".")
            if placeholder and vars(sys.modules.get(package, placeholder)).get(attribute) is placeholder:
                delattr(sys.modules[package], attribute)


@contextmanager
def use_plain_paths() -> Iterator[None]:
    """Let an instance keep its directories as paths of this machine, without upath and fsspec for paths in clouds."""
    if "upath" in sys.modules:
        yield
        return
    sys.modules["upath"] = placeholder = ModuleType("upath")
    placeholder.UPath = Path  # type: ignore[attr-defined]  # a ModuleType declares no names of its module
    try:
        yield
    finally:
        del sys.modules["upath"]

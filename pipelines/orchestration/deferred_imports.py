"""Defers imports that Dagster's storages make and a run does not use until it has to create a file of the history.

With alembic come mako, pygments and SQLAlchemy's dialects of other databases; with Dagster's daemon come its scheduler, structlog
and rich. Together they took a third of the time of `import dagster`. Dagster has no option for it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_ALEMBIC = {
    "alembic": (),
    "alembic.command": ("downgrade", "stamp", "upgrade"),
    "alembic.config": ("Config",),
    "alembic.runtime": (),
    "alembic.runtime.environment": ("EnvironmentContext",),
    "alembic.runtime.migration": ("MigrationContext",),
    "alembic.script": ("ScriptDirectory",),
}
"""The imports of `dagster._core.storage.sql`; `test_history.py` notices if a new Dagster imports more."""
_DAEMON = "dagster._daemon"
"""A package whose `types` the storages need, without what its `__init__` imports."""


class _Deferred:
    """A class or function that is imported when it is called, or an attribute of it is read."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    @cached_property
    def _imported(self) -> Any:  # noqa: ANN401 - anything
        return getattr(import_module(self._module), self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - same
        return self._imported(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - same
        return getattr(self._imported, name)


@contextmanager
def defer_unused_imports() -> Iterator[None]:
    """Let the modules that are imported meanwhile do without alembic and Dagster's daemon; both stay importable."""
    placeholders: dict[str, ModuleType] = {}
    if "alembic" not in sys.modules:
        placeholders |= {name: ModuleType(name) for name in _ALEMBIC}
        for module, names in _ALEMBIC.items():
            for name in names:
                setattr(placeholders[module], name, _Deferred(module, name))
    if _DAEMON not in sys.modules and (spec := find_spec(_DAEMON)):
        placeholders[_DAEMON] = ModuleType(_DAEMON)
        placeholders[_DAEMON].__path__ = spec.submodule_search_locations or []
    sys.modules.update(placeholders)
    try:
        yield
    finally:
        for name in placeholders:
            del sys.modules[name]

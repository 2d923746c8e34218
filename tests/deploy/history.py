"""Dagster's instance as `deploy/dagster.yaml` configures it, with its history on the tests' PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from tests.postgres import Postgres

DEPLOY = Path(__file__).parents[2] / "deploy"


def build_history_environment(postgres: Postgres, home: Path) -> dict[str, str]:
    """Return the environment of `deploy/dagster.yaml`; this PostgreSQL, in a new database, is the broker too."""
    database = postgres.new_database().rpartition("=")[2]
    url = f"postgresql+psycopg2://postgres:hush-hush-9@/{database}?host={postgres.directory}"
    return {
        "DAGSTER_HOME": f"{home}",
        "DAGSTER_POSTGRES_URL": url,
        "CELERY_BROKER_URL": f"sqla+{url}",
        "CELERY_RESULT_BACKEND": f"db+{url}",
        "LIVEHOUSE_HOME": f"{home / 'data'}",
    }


@contextmanager
def open_postgres_history(postgres: Postgres, home: Path) -> Iterator[dg.DagsterInstance]:
    """Open a new history in this process."""
    pytest.importorskip("dagster_postgres", reason="the extra `deploy` is not installed")
    pytest.importorskip("dagster_celery", reason="the extra `deploy` is not installed")
    (home / "dagster.yaml").write_text((DEPLOY / "dagster.yaml").read_text())
    with pytest.MonkeyPatch.context() as patch:
        for name, value in build_history_environment(postgres, home).items():
            patch.setenv(name, value)
        with dg.DagsterInstance.get() as instance:
            yield instance

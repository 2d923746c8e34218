"""The examinations of `livehouse doctor`, each a few findings. None of them changes anything."""

import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Literal

import duckdb
from filelock import FileLock, Timeout

from pipelines.errors import ApiRefusedError, LivehouseError, NotFoundError, WarehouseError
from pipelines.extract.operations import list_livestreams
from pipelines.load.lock import holder
from pipelines.load.schema import COLUMNS
from pipelines.load.store import open_store
from pipelines.load.warehouse import Warehouse
from pipelines.schema import Table
from pipelines.settings import Settings, load_settings
from pipelines.steps.house import make_client
from pipelines.tables import WAREHOUSE_FILE
from pipelines.tables_raw import RAW_FILE

_LEAST_FREE_BYTES = 2**30
_CLOCK_SECONDS = 60
_BUDGET_LEFT = 50


@dataclass(frozen=True)
class Finding:
    """What one examination found, and what to do about it."""

    state: Literal["ok", "warning", "fault"]
    what: str
    said: str
    remedy: str = ""


def checkup() -> Iterator[Finding]:
    """Every finding, settings first; without sound settings there is nothing more to examine."""
    try:
        settings = load_settings()
    except LivehouseError as error:
        yield Finding("fault", "settings", str(error), "correct it in the environment or in .env, see .env.example")
        return
    try:
        settings.require_account()
        yield Finding("ok", "settings", f"{len(settings.app_ids)} app(s) at {settings.base_url}")
        yield from _api(settings)
    except LivehouseError as error:
        yield Finding("fault", "settings", str(error), "set it in the environment or in .env, see .env.example")
    yield from _lakehouse(settings) if settings.lakehouse else _files(settings)


def _api(settings: Settings) -> Iterator[Finding]:
    for app_id in settings.app_ids:
        client = make_client(settings)
        try:
            list_livestreams(client, app_id, per_page=1)
            yield Finding("ok", f"app {app_id}", "token accepted, livestreams can be listed")
        except NotFoundError as error:
            yield Finding("fault", f"app {app_id}", str(error), "check REALTIMEKIT_APP_ID and CLOUDFLARE_ACCOUNT_ID")
        except ApiRefusedError as error:
            remedy = "make an API token with the *Realtime* permission for this account and set CLOUDFLARE_API_TOKEN"
            yield Finding("fault", f"app {app_id}", str(error), remedy)
        except WarehouseError:
            yield Finding(
                "warning", f"app {app_id}", "not asked: the request budget is kept with the lakehouse, see there"
            )
            return
        except LivehouseError as error:
            yield Finding("fault", f"app {app_id}", str(error), "check CLOUDFLARE_BASE_URL, the network and a proxy")
        finally:
            client.close()
        headers = client.last_headers
    yield from _clock(headers.get("date"))
    remaining = client.remaining
    if remaining is not None:
        state: Literal["ok", "warning"] = "warning" if remaining < _BUDGET_LEFT else "ok"
        remedy = (
            "another program uses the same token: wait, or give livehouse a token of its own"
            if state == "warning"
            else ""
        )
        yield Finding(state, "request budget", f"{remaining} requests left by the API's own count", remedy)


def _clock(served: str | None) -> Iterator[Finding]:
    try:
        behind = time.time() - parsedate_to_datetime(served or "").timestamp()
    except ValueError:
        return
    if abs(behind) > _CLOCK_SECONDS:
        said = f"this machine is {abs(behind):.0f} s {'ahead of' if behind > 0 else 'behind'} the API's clock"
        yield Finding("warning", "clock", said, "set the clock (ntp): what is new is told by time")
    else:
        yield Finding("ok", "clock", "agrees with the API's")


def _lakehouse(settings: Settings) -> Iterator[Finding]:
    try:
        lakehouse = open_store(settings)
        lakehouse.prepare()
        if not lakehouse.is_there():
            yield Finding("ok", "lakehouse", f"{lakehouse.address} answers; the first run makes its tables")
            return
        with lakehouse.open_published() as connection:
            there = set(connection.execute(COLUMNS).fetchall())
            newest = connection.execute("SELECT max(finished_at) FROM ops.loads").fetchall()[0][0]
    except LivehouseError as error:
        yield Finding("fault", "lakehouse", str(error))
        return
    yield _schema("lakehouse", there, (*RAW_FILE, *WAREHOUSE_FILE))
    yield Finding("ok", "lakehouse", f"{lakehouse.address}, last load {newest} UTC")


def _schema(what: str, there: set[tuple[str, str, str]], tables: Iterable[Table]) -> Finding:
    missing = [f"{t.full_name}.{c.name}" for t in tables for c in t.columns if (t.schema, t.name, c.name) not in there]
    if missing:
        said = f"of an older version: lacks {', '.join(missing[:5])}"
        return Finding("warning", what, said, "the next run adds it")
    return Finding("ok", what, "opens, schema up to date")


def _files(settings: Settings) -> Iterator[Finding]:
    warehouse = Warehouse(settings.warehouse)
    try:
        warehouse.prepare()
    except LivehouseError as error:
        yield Finding("fault", "home", str(error))
        return
    free = shutil.disk_usage(warehouse.directory).free
    needed = max(_LEAST_FREE_BYTES, 2 * (warehouse.working.stat().st_size if warehouse.working.exists() else 0))
    if free < needed:
        yield Finding("warning", "disk", f"{free >> 20} MiB free", f"free {needed >> 20} MiB: publishing writes a copy")
    else:
        yield Finding("ok", "disk", f"{free >> 30} GiB free")
    lock = FileLock(warehouse.lock)
    try:
        with lock.acquire(timeout=0):
            pass
    except Timeout:
        yield Finding(
            "warning", "lock", f"held by {holder(warehouse.lock)}", "a run is going on: wait for it, or end it"
        )
        return  # its files are open
    yield Finding("ok", "lock", "free")
    yield from _contents(warehouse)


def _contents(warehouse: Warehouse) -> Iterator[Finding]:
    for path, tables in ((warehouse.raw, RAW_FILE), (warehouse.working, WAREHOUSE_FILE)):
        if not path.exists():
            yield Finding("ok", path.name, "not there yet; the first run makes it")
            continue
        try:
            with duckdb.connect(path) as connection:
                there = set(connection.execute(COLUMNS).fetchall())
        except duckdb.Error as error:
            remedy = "move it away with its .wal and bring it back from a backup, or backfill again"
            yield Finding("fault", path.name, f"cannot be opened: {str(error).splitlines()[0]}", remedy)
            continue
        yield _schema(path.name, there, tables)
    yield from _published(warehouse)


def _published(warehouse: Warehouse) -> Iterator[Finding]:
    if not warehouse.working.exists():
        return
    newest = "SELECT max(finished_at) FROM ops.loads"
    try:
        with duckdb.connect(warehouse.working) as connection:
            worked = connection.execute(newest).fetchall()[0][0]
        if not warehouse.published.exists():
            yield Finding("warning", "published copy", "not there", "run `livehouse nightly`")
            return
        with duckdb.connect(warehouse.published, read_only=True) as connection:
            shown = connection.execute(newest).fetchall()[0][0]
    except duckdb.Error as error:
        said = str(error).splitlines()[0]
        remedy = "if another program has it open for writing, that is fine; if it is damaged, the next run replaces it"
        yield Finding("warning", "published copy", f"cannot be read: {said}", remedy)
        return
    if worked and (shown is None or shown < worked):
        said = f"of {shown} UTC, the last run ended {worked} UTC"
        yield Finding("warning", "published copy", said, "a run ended before it published: run `livehouse nightly`")
    else:
        yield Finding("ok", "published copy", f"of {shown} UTC")

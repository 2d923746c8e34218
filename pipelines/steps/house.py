"""What one run works with: settings, the API, the files, its flags, and what has gone wrong so far."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property, partial
from typing import Literal

from pipelines.clock import days_from, utc_now
from pipelines.errors import ApiError
from pipelines.extract.client import ApiClient
from pipelines.extract.shared_budget import SharedBudget
from pipelines.load.catalog import Catalog
from pipelines.load.days import note_load
from pipelines.load.raw import begin_backfill
from pipelines.load.store import Store, open_store
from pipelines.memory import prepare_for_runs
from pipelines.schema import Table
from pipelines.settings import Settings
from pipelines.steps.progress import say

Range = tuple[date, date]
"""First and last day, both included."""


def make_client(
    settings: Settings, *, stream_keys: Literal["remove", "mask", "show"] = "remove", is_patient: bool = True
) -> ApiClient:
    """The API as the settings describe it. Raises `SettingsError` where the account is not set."""
    settings.require_account()
    token = settings.api_token
    return ApiClient(
        base_url=settings.base_url,
        account_id=settings.account_id or "",
        token=token.get_secret_value() if token else "",
        requests_per_second=settings.requests_per_second,
        concurrency=settings.concurrency,
        retry_pause_seconds=settings.retry_pause_seconds,
        stream_keys=stream_keys,
        budget=_shared_budget(settings),
        is_patient=is_patient,
    )


def _shared_budget(settings: Settings) -> SharedBudget | None:
    """The budget of all machines that share a lakehouse."""
    if settings.lakehouse is None:
        return None
    catalog = Catalog(settings.lakehouse)
    return SharedBudget(catalog.connect, settings.account_id or "", settings.requests_per_second)


@dataclass
class Counts:
    """Records of one app and table in this run, each counted by itself: they must balance."""

    received: int = 0
    landed: int = 0
    quarantined: int = 0
    duplicates: int = 0
    requests: int = 0
    """Sent for it, those sent again included; and those sent again."""
    retries: int = 0
    note: str | None = None


@dataclass
class House:
    """One run. Made by `open_house`, which holds the lock for as long as the run lasts."""

    settings: Settings
    warehouse: Store
    run_id: str
    full: bool = False
    allow_shrink: bool = False
    started_at: datetime = field(default_factory=utc_now)
    answered_since: datetime | None = None
    """Answers since then are as good as asking again: an interrupted backfill goes on."""
    failures: dict[tuple[str, str], ApiError] = field(default_factory=dict)
    """What could not be had, by (app, table). The other apps go on; the run fails at its end."""
    odd: list[str] = field(default_factory=list)
    """What checks found, a line each."""
    caught_up: dict[str, list[date]] = field(default_factory=dict)
    """Days, by app, that a nightly run loads besides its own: earlier nights missed them."""
    rebuilt: dict[str, list[date]] | None = None
    """Days, by app, that raw has; set for a run that fetches nothing, which can load no others."""

    @property
    def app_ids(self) -> str:
        """Its apps, as an open backfill is found by: two machines may backfill the same days of different apps."""
        return ",".join(sorted(self.settings.app_ids))

    def days_of(self, app_id: str, days: Range) -> list[date]:
        """Return the days to load of an app, in order, in a run that was started for a range."""
        if self.rebuilt is not None:
            return [day for day in self.rebuilt.get(app_id, []) if days[0] <= day <= days[1]]
        return sorted({*self.caught_up.get(app_id, []), *days_from(*days)})

    def caught_up_days(self) -> list[date]:
        """Return the days that a nightly run loads besides its own, of any app."""
        return sorted({day for days in self.caught_up.values() for day in days})

    @cached_property
    def client(self) -> ApiClient:
        """The API; made when the first question is asked, so that a rebuild needs no account."""
        return make_client(self.settings)

    def for_each_app(
        self,
        table: Table,
        body: Callable[[str, Counts], None],
        *,
        days: Range | None,
        apps: list[str] | None = None,
        needs: tuple[Table, ...] = (),
        asks: bool = False,
    ) -> dict[str, Counts]:
        """Run `body` for each app and note in ops.loads what came of it.

        An app whose `needs` failed in this run is left out; one that fails leaves the others to go on.
        Raises only when no app is left: the first app's error, which then tells of every app.
        """
        done: dict[str, Counts] = {}
        apps = list(self.settings.app_ids) if apps is None else apps
        for app_id in apps:
            broken = [
                self.failures[app_id, need.full_name] for need in needs if (app_id, need.full_name) in self.failures
            ]
            if broken:
                self.failures[app_id, table.full_name] = broken[0]
                continue
            counts, started_at = Counts(), utc_now()
            loaded = self.days_of(app_id, days) if days else []
            sent = (self.client.sent, self.client.retried) if asks else (0, 0)
            try:
                with self.warehouse.alone(table.full_name, app_id):
                    body(app_id, counts)
                done[app_id] = counts
            except ApiError as error:
                self.failures[app_id, table.full_name] = error
                counts.note = f"failed: {error}"
                say(f"{app_id}: {error}")
            if asks:
                counts.requests, counts.retries = self.client.sent - sent[0], self.client.retried - sent[1]
            noted: dict[str, object] = {
                "run_id": self.run_id,
                "table_name": table.full_name,
                "app_id": app_id,
                "first_day": loaded[0] if loaded else None,
                "last_day": loaded[-1] if loaded else None,
                "rows_received": counts.received,
                "rows_landed": counts.landed,
                "rows_quarantined": counts.quarantined,
                "rows_duplicate": counts.duplicates,
                "api_requests": counts.requests,
                "api_retries": counts.retries,
                "started_at": started_at,
                "finished_at": utc_now(),
                "note": counts.note,
            }
            self.warehouse.write(partial(note_load, load=noted))
        if apps and not done:
            failed = [self.failures[app_id, table.full_name] for app_id in apps]
            if len(apps) > 1:  # the step ends here: what became of each app is told with it
                said = (f"{app_id}: {error}" for app_id, error in zip(apps, failed, strict=True))
                failed[0].args = ("; ".join(said),)
            raise failed[0]
        return done

    def failure_lines(self) -> list[str]:
        """Every distinct failure of this run, a line each."""
        return list(dict.fromkeys(f"{app_id}: {error}" for (app_id, _), error in self.failures.items()))


@contextmanager
def open_house(
    settings: Settings, *, run_id: str, full: bool, allow_shrink: bool, backfill: Range | None
) -> Iterator[House]:
    """Hold the house for one run: wait for the lock, clear up after a run that was killed, go on with its backfill."""
    prepare_for_runs()
    warehouse = open_store(settings)
    warehouse.prepare()
    with warehouse.run(wait_seconds=settings.lock_wait_seconds, say=say):
        house = House(settings, warehouse, run_id, full=full, allow_shrink=allow_shrink)
        if backfill:
            started_at = warehouse.write_raw(
                lambda connection: begin_backfill(
                    connection, house.app_ids, *backfill, is_full=full, now=house.started_at
                )
            )
            house.answered_since = started_at if started_at < house.started_at else None
        try:
            yield house
        finally:
            if "client" in house.__dict__:
                house.client.close()

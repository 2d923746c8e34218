"""Holds the state of one run: settings, API client, warehouse, flags, failures."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from copy import copy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from http import HTTPStatus
from typing import Literal

import duckdb

from pipelines.catalog.types import Table
from pipelines.clock import days_from, utc_now
from pipelines.errors import LivehouseError
from pipelines.extract.client import ApiClient
from pipelines.extract.shared_budget import SharedBudget
from pipelines.load.raw_tables import begin_backfill
from pipelines.load.raw_versions import describe_future, last_landing
from pipelines.normalize.resolve import Normalized
from pipelines.settings.billing_terms import read_billing_terms
from pipelines.settings.settings import Settings
from pipelines.steps import dialect
from pipelines.steps.billing_terms import write_billing_terms
from pipelines.steps.compared_days import ComparedDay
from pipelines.steps.kept_results import KeptResults
from pipelines.steps.outcomes import Counts, Failure
from pipelines.steps.pending_loads import PendingLoads
from pipelines.steps.process_memory import prepare_for_runs
from pipelines.steps.progress import notify, show_retries
from pipelines.steps.side_by_side import Fetching
from pipelines.steps.table_step import TableStep
from pipelines.storage.postgres import Catalog
from pipelines.storage.warehouse import Warehouse, check_readers_see, open_warehouse
from pipelines.telemetry.logs import log

_MOST_KEPT_ROWS = 20_000
"""A few megabytes."""

_CLOCKS_AGREE_WITHIN = timedelta(minutes=5)

Range = tuple[date, date]
"""First and last day, both included."""


def make_client(
    settings: Settings, *, stream_keys: Literal["remove", "mask", "show"] = "remove", is_patient: bool = True
) -> ApiClient:
    """Return a client for the API of the settings. Raises `SettingsError` if the account is not set."""
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
        notify=notify,
    )


def _shared_budget(settings: Settings) -> SharedBudget | None:
    """Return the request budget that all machines with the same lakehouse share; None without a lakehouse."""
    if settings.lakehouse is None:
        return None
    catalog = Catalog(settings.lakehouse)
    return SharedBudget(catalog.connect, settings.account_id or "", settings.requests_per_second, notify)


@dataclass
class RunContext:
    """One run. `open_run` creates it and holds the lock while the run lasts."""

    settings: Settings
    warehouse: Warehouse
    run_id: str
    full: bool = False
    allow_shrink: bool = False
    started_at: datetime = field(default_factory=utc_now)
    is_backfill: bool = False
    resume_from: int | None = None
    """Set if an interrupted backfill resumes: replies that landed after this landing are not fetched again."""
    first_landing: int = 0
    """The last landing before this run."""
    other_apps: tuple[str, ...] = ()
    """Apps of REALTIMEKIT_APP_ID that other runs load, if a night is split."""
    failures: list[Failure] = field(default_factory=list)
    """Data that could not be fetched. The rest is loaded and published, and the run fails at its end."""
    fetched: set[tuple[str, str]] = field(default_factory=set)
    """Pairs of app and raw table that this run fetched, completely or in part."""
    warnings: list[str] = field(default_factory=list)
    """Findings of checks and steps, one line each."""
    catch_up_days: dict[str, list[date]] = field(default_factory=dict)
    """Days, by app, that a nightly run also loads because earlier nights missed them."""
    rebuilt: dict[str, list[date]] | None = None
    """Days with raw records, by app; set for a rebuild, which fetches nothing and can load no other days."""
    kept_rows: KeptResults[Normalized] = field(default_factory=lambda: KeptResults(_MOST_KEPT_ROWS))
    """Rows that were normalized to be compared with the totals, for the load."""
    kept_comparisons: KeptResults[list[ComparedDay]] = field(default_factory=lambda: KeptResults(_MOST_KEPT_ROWS))
    """Comparisons with the totals that were made for several apps at once."""
    has_compared: bool = False
    """Whether the totals of any app were compared."""
    own_landings: int = 0
    loads: PendingLoads = field(init=False)

    def __post_init__(self) -> None:
        """Begin without loads."""
        self.loads = PendingLoads(self.warehouse)

    @property
    def app_ids(self) -> str:
        """Its apps, as part of the key of ops.open_backfills: machines may backfill the same days of different apps."""
        return ",".join(sorted(self.settings.app_ids))

    @property
    def landing_before(self) -> int:
        """The last landing before this run, or before the interrupted backfill that it resumes."""
        return self.first_landing if self.resume_from is None else self.resume_from

    @property
    def oldest_retained_day(self) -> date:
        """The first day that the source still keeps."""
        return self.started_at.date() - timedelta(days=self.settings.retention_days)

    def days_to_load(self, app_id: str, days: Range) -> list[date]:
        """Return the days of an app to load in a run for a range, in order."""
        if self.rebuilt is not None:
            return [day for day in self.rebuilt.get(app_id, []) if days[0] <= day <= days[1]]
        wanted = sorted({*self.catch_up_days.get(app_id, []), *days_from(*days)})
        return [day for day in wanted if self.is_loadable(day)]

    def landings_of_others(self) -> int:
        """Return how many landings the raw tables have besides those of this run."""
        with self.warehouse.open_raw() as connection:
            return last_landing(connection)[0] - self.own_landings

    def forget_results(self, app_ids: Collection[str]) -> None:
        """Forget what was computed from raw records of these apps, which have changed."""
        self.kept_rows.forget(app_ids)
        self.kept_comparisons.forget(app_ids)

    def clock_ahead(self) -> timedelta:
        """Return how far this machine's clock is ahead of the API's; zero if that is little or unknown."""
        ahead = self.client.clock_ahead if "client" in self.__dict__ else None
        return ahead if ahead is not None and abs(ahead) > _CLOCKS_AGREE_WITHIN else timedelta(0)

    def is_loadable(self, day: date) -> bool:
        """Return whether a day has begun by the API's clock, and is over by it if it is over by this machine's clock.

        With a clock that is ahead, a future day would be loaded with zeros, as a day that is over.
        """
        now = utc_now()
        at_api = (now - self.clock_ahead()).date()
        return day < at_api or day == at_api == now.date()

    def all_catch_up_days(self) -> list[date]:
        """Return the days that a nightly run also loads because earlier nights missed them, of all apps."""
        return sorted({day for days in self.catch_up_days.values() for day in days})

    @cached_property
    def client(self) -> ApiClient:
        """The API client, created on first use, so that a rebuild needs no account."""
        client = make_client(self.settings)
        with self.warehouse.open_working() as connection:
            dialect.recall(client, connection, self.settings.base_url)
        show_retries(lambda: client.retried)
        return client

    def for_each_app(
        self,
        table: Table,
        body: Callable[[str, Counts], None],
        *,
        days: Range | None,
        needs: tuple[Table, ...] = (),
        unchanged: Collection[str] = (),
    ) -> dict[str, Counts]:
        """Run `body`, which sends no requests, for each app and record the result in ops.loads.

        `unchanged`: apps for which `body` writes nothing, so that the table need not be locked.
        An app is skipped if a table that it `needs` failed completely. Raises `ApiError` if no app is left.
        """

        def run_body(app_id: str, counts: Counts) -> Fetching:
            with nullcontext() if app_id in unchanged else self.warehouse.lock_table(table.full_name, app_id):
                body(app_id, counts)
            yield from ()

        return TableStep(self, table, days, uses_api=False).run(run_body, self.settings.app_ids, needs)

    def fetch_for_each_app(
        self,
        table: Table,
        body: Callable[[str, Counts], Fetching],
        *,
        days: Range | None,
        apps: Sequence[str] | None = None,
        needs: tuple[Table, ...] = (),
        flush: Callable[[], None] | None = None,
    ) -> dict[str, Counts]:
        """Run `body`, which sends requests, for several apps side by side, and record the results in ops.loads.

        `flush` lands what the bodies left in a buffer: at the end, and also if an error or Ctrl-C ends the step.
        A body that could not fetch a part of its data adds a `Failure` for that part; without any data it raises `ApiError`.
        An app is skipped if a table that it `needs` failed completely. Raises `ApiError` if continuing is pointless: the
        token is refused, or no app is left and nothing was fetched.
        """
        apps = self.settings.app_ids if apps is None else apps
        with self.warehouse.lock_table(table.full_name, *apps):
            return TableStep(self, table, days, uses_api=True).run(body, apps, needs, flush)

    def apps_with_data(self, tables: tuple[Table, ...]) -> list[str]:
        """Return the apps of which no table failed completely in this run."""
        return [app_id for app_id in self.settings.app_ids if not self.whole_failure(app_id, tables)]

    def whole_failure(self, app_id: str, tables: tuple[Table, ...]) -> Failure | None:
        """Return the failure of a table of which nothing was fetched for an app; None if each was fetched at least in part."""
        names = {table.full_name for table in tables}
        failed = (f for f in self.failures if f.app_id == app_id and f.table in names and f.part is None)
        return next(failed, None)

    def raise_if_pointless(self, *, uses_api: bool) -> None:
        """Raise the first error if no further step can succeed."""
        statuses = {getattr(failure.error, "status", None) for failure in self.failures}
        if not self.fetched and (not uses_api or statuses == {HTTPStatus.UNAUTHORIZED}):
            error = self.failures[0].error
            if len(self.settings.app_ids) > 1:
                error = copy(error)
                error.args = ("; ".join(self.failure_lines()),)
            raise error

    def failure_lines(self) -> list[str]:
        """Return every distinct failure of this run, one line each."""
        return list(dict.fromkeys(f"{failure.app_id}: {failure.message}" for failure in self.failures))


@contextmanager
def open_run(
    settings: Settings,
    *,
    run_id: str,
    full: bool,
    allow_shrink: bool,
    backfill: Range | None,
    applies_terms: bool = True,
    before_write: Callable[[], None] | None = None,
) -> Iterator[RunContext]:
    """Open a run: wait for the lock, clean up after a killed run, and resume its backfill.

    It also writes the billing terms of the settings into the warehouse, if `applies_terms`. `before_write` is called before each
    transaction, and raises an error if the run may no longer write.
    """
    prepare_for_runs()
    check_readers_see(settings)
    terms = read_billing_terms(settings) if applies_terms else None
    warehouse = open_warehouse(settings)
    warehouse.prepare()
    if before_write:
        warehouse.before_write = before_write
    with warehouse.run(wait_seconds=settings.lock_wait_seconds, log=log):
        run = RunContext(
            settings, warehouse, run_id, full=full, allow_shrink=allow_shrink, is_backfill=backfill is not None
        )
        with warehouse.open_raw() as connection:
            run.first_landing, landed_at = last_landing(connection)
        if terms is not None:
            write_billing_terms(warehouse, settings, terms)
        if line := describe_future(landed_at, run.started_at):
            run.warnings.append(line)
            log(line)
        if backfill:
            run.resume_from = warehouse.write_raw(
                lambda connection: begin_backfill(connection, run.app_ids, *backfill, is_full=full, now=run.started_at)
            )
        try:
            yield run
            run.loads.write()
        except BaseException:
            with suppress(LivehouseError, duckdb.Error):  # the first error is the one to report
                run.loads.write()
            raise
        finally:
            if "client" in run.__dict__:
                run.client.close()

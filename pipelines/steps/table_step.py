"""One step of a run: fills a table, app by app or side by side, and records the outcomes in ops.loads."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING

from pipelines.catalog.types import Table
from pipelines.clock import utc_now
from pipelines.errors import ApiError, LivehouseError
from pipelines.extract.client import RequestCounts
from pipelines.steps import dialect
from pipelines.steps.outcomes import Counts, Failure
from pipelines.steps.side_by_side import Fetching, Work, run_side_by_side

if TYPE_CHECKING:
    from pipelines.steps.context import Range, RunContext

_APPS_AT_ONCE = 8
"""Apps that are fetched side by side: enough to use the request budget, and each may hold records that are not landed yet."""


@dataclass
class _AppLoad:
    """The load of one app while it runs."""

    app_id: str
    days: list[date]
    before: RequestCounts
    """Requests about the app before it began."""
    started_at: datetime = field(default_factory=utc_now)
    finished_at: datetime | None = None
    counts: Counts = field(default_factory=Counts)


class TableStep:
    """A step that fills one table."""

    def __init__(self, run: "RunContext", table: Table, days: "Range | None", *, uses_api: bool) -> None:
        """Prepare the step. `uses_api`: its requests are counted, and several apps run side by side."""
        self._run = run
        self._table = table
        self._days = days
        self._uses_api = uses_api
        self._done: dict[str, Counts] = {}
        self._loads: list[_AppLoad] = []
        self._known_failures = len(run.failures)

    def run(
        self,
        body: Callable[[str, Counts], Fetching],
        apps: Sequence[str],
        needs: tuple[Table, ...],
        flush: Callable[[], None] | None = None,
    ) -> dict[str, Counts]:
        """Run the body for each app; see `RunContext.fetch_for_each_app`."""
        run, known = self._run, self._known_failures
        try:
            run_side_by_side(
                self._list_works(body, apps, needs),
                min(_APPS_AT_ONCE, run.settings.concurrency) if self._uses_api else 1,
            )
            if flush:
                flush()
        except BaseException:
            with suppress(LivehouseError):  # the first error is the one to report
                if flush:
                    flush()
            self._add_loads()
            raise
        run.failures[known:] = sorted(run.failures[known:], key=lambda failure: apps.index(failure.app_id))
        self._add_loads()
        if apps and not self._done and run.failures:
            run.raise_if_pointless(uses_api=self._uses_api)
        return {app_id: self._done[app_id] for app_id in apps if app_id in self._done}

    def _list_works(
        self, body: Callable[[str, Counts], Fetching], apps: Sequence[str], needs: tuple[Table, ...]
    ) -> Iterator[Work]:
        for app_id in apps:
            if missing := self._run.whole_failure(app_id, needs):
                self._run.failures.append(replace(missing, table=self._table.full_name))
                continue
            days = self._run.days_to_load(app_id, self._days) if self._days else []
            if self._days and not days and self._run.rebuilt is None:
                continue  # by the API's clock, none of the days has begun
            before = copy(self._run.client.counts_by_app[app_id]) if self._uses_api else RequestCounts()
            load = _AppLoad(app_id, days, before)
            yield Work(app_id, partial(body, app_id, load.counts), partial(self._end, load))

    def _end(self, load: _AppLoad, error: ApiError | None) -> None:
        run, counts = self._run, load.counts
        if error:
            run.failures.append(Failure(load.app_id, self._table.full_name, error))
        else:
            self._done[load.app_id] = counts
        if self._uses_api and not error:
            run.fetched.add((load.app_id, self._table.full_name))
        state = "failed" if error else "incomplete"
        failures = [failure for failure in run.failures[self._known_failures :] if failure.app_id == load.app_id]
        new = [f"{state}: {failure.message}" for failure in failures]
        counts.note = "; ".join([*new, *([counts.note] if counts.note else [])]) or None
        if self._uses_api:
            requests = run.client.counts_by_app[load.app_id].since(load.before)
            counts.requests, counts.retries, counts.refusals = requests.sent, requests.retried, requests.refused
            dialect.keep(run.client, run.warehouse.write, run.settings.base_url)
        load.finished_at = utc_now()
        self._loads.append(load)

    def _describe(self, load: _AppLoad) -> dict[str, object]:
        counts, days = load.counts, load.days
        return {
            "run_id": self._run.run_id,
            "table_name": self._table.full_name,
            "app_id": load.app_id,
            "first_day": days[0] if days else None,
            "last_day": days[-1] if days else None,
            "rows_received": counts.received,
            "rows_landed": counts.landed,
            "rows_quarantined": counts.quarantined,
            "rows_duplicate": counts.duplicates,
            "api_requests": counts.requests,
            "api_retries": counts.retries,
            "api_refusals": counts.refusals,
            "started_at": load.started_at,
            "finished_at": load.finished_at,
            "note": counts.note,
            "arrival": counts.arrival,
        }

    def _add_loads(self) -> None:
        """Add the loads to those of the run, after what they left in a buffer has landed."""
        self._run.loads.add([self._describe(load) for load in self._loads])

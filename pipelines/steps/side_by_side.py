"""Runs the work of several apps at once: their requests on threads, everything else on this thread, a piece at a time.

So requests go on while records land, and several apps share the request budget; only one thread ever uses the warehouse, and
Ctrl-C reaches the work of every app, which lands what has arrived.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from contextlib import ExitStack, contextmanager
from queue import SimpleQueue
from typing import Any, NamedTuple

from pipelines.errors import ApiError
from pipelines.extract.concurrency import Result

Fetching = Generator[Iterator[Any], Any, None]
"""The work of one app: yields an iterator that sends requests, and receives its items one by one, then None."""

_MAX_AHEAD = 2_500
"""Records that are fetched ahead of the landing, for each app. This bounds memory."""


class Work(NamedTuple):
    """The work of one app, started when there is room for it."""

    app_id: str
    start: Callable[[], Fetching]
    end: Callable[[ApiError | None], None]
    """Called at the end, with the error that ended it."""


class _Event(NamedTuple):
    source: "_Source"
    item: Any
    error: BaseException | None


class _Source:
    """An iterator that a thread runs ahead of the consumer of its items."""

    def __init__(self, app_id: str, iterator: Iterator[Any], events: "SimpleQueue[_Event]") -> None:
        self.app_id = app_id
        self.iterator = iterator
        self._events = events
        self._ahead = 0
        self._is_stopped = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True, name=f"fetch {app_id}").start()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self.iterator:
                with self._changed:
                    self._changed.wait_for(lambda: self._ahead < _MAX_AHEAD or self._is_stopped)
                    self._ahead += _weight(item)
                    if self._is_stopped:
                        break
                self._events.put(_Event(self, item, None))
        except BaseException as raised:  # noqa: BLE001 - raised again where the items are consumed
            error = raised
        if isinstance(self.iterator, Generator):
            self.iterator.close()
        if not self._is_stopped:
            self._events.put(_Event(self, None, error))

    def note_consumed(self, item: object) -> None:
        with self._changed:
            self._ahead -= _weight(item)
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            self._changed.notify()


def _weight(item: object) -> int:
    records = item.value if isinstance(item, Result) else item
    return max(len(records), 1) if isinstance(records, Sized) else 1


class _Running:
    """The work of an app that waits for an item."""

    def __init__(self, work: Work, events: "SimpleQueue[_Event]") -> None:
        self.work = work
        self.source: _Source | None = None
        self._fetching = work.start()
        self._events = events

    def resume(self, item: object, error: BaseException | None) -> bool:
        """Go on with an item or an error. Returns whether there is more to wait for."""
        if self.source and item is not None:
            self.source.note_consumed(item)
        try:
            iterator = self._fetching.throw(error) if error else self._fetching.send(item)
        except StopIteration:
            self._end(None)
            return False
        except ApiError as raised:
            self._end(raised)
            return False
        if self.source is None or self.source.iterator is not iterator:
            self._stop_source()
            self.source = _Source(self.work.app_id, iterator, self._events)
        return True

    def close(self) -> None:
        self._stop_source()
        self._fetching.close()

    def _end(self, error: ApiError | None) -> None:
        self._stop_source()
        self.work.end(error)

    def _stop_source(self) -> None:
        if self.source:
            self.source.stop()


def run_side_by_side(works: Iterable[Work], most: int) -> None:
    """Run the work of each app, of at most `most` apps at once. Any error but an `ApiError` ends all of it."""
    events: SimpleQueue[_Event] = SimpleQueue()
    running: dict[str, _Running] = {}
    waiting = iter(works)
    with _closing_all(running):
        while True:
            while len(running) < most and (work := next(waiting, None)):
                one = running[work.app_id] = _Running(work, events)
                if not one.resume(None, None):
                    del running[work.app_id]
            if not running:
                return
            source, item, error = events.get()
            resumed = running.get(source.app_id)
            # A source that its consumer has left may still have sent an item.
            if resumed and resumed.source is source and not resumed.resume(item, error):
                del running[source.app_id]


@contextmanager
def _closing_all(running: dict[str, _Running]) -> Iterator[None]:
    """Close all work that still runs at the end, even if the closing of one fails."""
    with ExitStack() as stack:
        try:
            yield
        finally:
            for one in running.values():
                stack.callback(one.close)

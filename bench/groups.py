"""How well a night is shared by several workers: which locks its runs need that those of other apps need too.

`python bench/groups.py` needs the extras `dev` and `lakehouse`. It loads twelve apps, changes every day, and runs the night of three of
them. From the time at which that run held each shared lock, it computes how long four such runs take that begin at once, with a core
each. Shares and speed-up depend little on the machine, and cores that are missing do not matter.
"""

import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from pipelines.settings.settings import Settings
from pipelines.simulator.server import Simulator
from pipelines.steps.context import RunContext, open_run
from pipelines.storage import ducklake_warehouse, postgres
from tests import pipeline_runner
from tests.pipeline_runner import DAYS, run_pipeline, settings_for, small_world
from tests.postgres import find_programs, running_postgres
from tests.promises.world_factory import change_everything

WORKERS = 4
APPS = tuple(f"app{number:02}" for number in range(12))


class Segment(NamedTuple):
    """A part of a run, and the shared lock that it holds meanwhile; None: nothing keeps other runs from going on."""

    lock: str | None
    seconds: float


@contextmanager
def open_run_of_group(settings: Settings, **options: Any) -> Iterator[RunContext]:
    """Open a run of a night that is split between several."""
    with open_run(settings, **options) as run:
        run.other_apps = tuple({*APPS} - {*settings.app_ids})
        yield run


def trace_run(settings: Any) -> list[Segment]:
    """Run a night; return its parts in order."""
    segments: list[Segment] = []
    last = time.monotonic()
    held: str | None = None

    def end_segment() -> None:
        nonlocal last
        now = time.monotonic()
        segments.append(Segment(held, now - last))
        last = now

    def trace(lock: Callable[..., AbstractContextManager[None]]) -> Callable[..., AbstractContextManager[None]]:
        @contextmanager
        def traced(session: Any, names: str | Sequence[str], **options: Any) -> Iterator[None]:
            nonlocal held
            name = names if isinstance(names, str) else min(names, default="")
            with lock(session, names, **options):
                if held is not None or not name or name.partition(" of ")[2].startswith("app"):
                    yield  # no run for other apps needs it, or it is inside of a lock that all need
                    return
                end_segment()
                held = name
                try:
                    yield
                finally:
                    end_segment()
                    held = None

        return traced

    # The names that it imported.
    for name in ("advisory_lock", "advisory_locks"):
        setattr(ducklake_warehouse, name, trace(getattr(postgres, name)))
    pipeline_runner.open_run = open_run_of_group  # type: ignore[attr-defined]  # the name that it imported
    run_pipeline(settings, DAYS)
    end_segment()
    return segments


def compute_seconds(segments: Sequence[Segment], workers: int) -> float:
    """Return how long runs with these parts take that begin at once: each lock goes to the run that asked for it first."""
    ready = [(0.0, 0) for _ in range(workers)]  # the time at which each run reaches its next part, and its number
    free: dict[str | None, float] = defaultdict(float)
    while True:
        pending = [(at, number, worker) for worker, (at, number) in enumerate(ready) if number < len(segments)]
        if not pending:
            return max(at for at, _ in ready)
        at, number, worker = min(pending)
        lock, seconds = segments[number]
        end = (max(at, free[lock]) if lock else at) + seconds
        free[lock] = end
        ready[worker] = (end, number + 1)


def main() -> None:
    programs = find_programs()
    assert programs, "no PostgreSQL to run"
    world = small_world(apps=APPS, livestreams=10, sessions=80, broken=False)
    with tempfile.TemporaryDirectory() as place, running_postgres(programs) as server, Simulator(world) as simulator:
        at = {"LIVEHOUSE_WAREHOUSE": server.new_database(), "LIVEHOUSE_DATA_PATH": f"{place}/files"}
        settings = settings_for(simulator, Path(place) / "home", **at)
        run_pipeline(settings, DAYS)
        change_everything(world)
        segments = trace_run(settings.model_copy(update={"app_ids": APPS[:3]}))
    alone = compute_seconds(segments, 1)
    held: dict[str, float] = defaultdict(float)
    for lock, seconds in segments:
        if lock:
            held[lock] += seconds
    print("| lock that every run needs | times | share of a run |\n|---|---|---|")
    for lock, seconds in sorted(held.items(), key=lambda item: -item[1]):
        times = sum(segment.lock == lock for segment in segments)
        print(f"| {lock} | {times} | {seconds / alone:.1%} |")
    print(f"| all | {sum(one.lock is not None for one in segments)} | {sum(held.values()) / alone:.1%} |")
    for workers in range(2, WORKERS + 1):
        speed_up = workers * alone / compute_seconds(segments, workers)
        print(f"{workers} workers: {speed_up:.2f} times one worker")


if __name__ == "__main__":
    main()

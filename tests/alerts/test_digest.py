"""The morning digest: figures against the same weekday, what is not final or unusual, once for each day."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from pipelines.alerts.digest import DayFigures, Digest, build_message
from pipelines.simulator.server import Simulator
from pipelines.steps.context import RunContext
from pipelines.steps.digest import post_digest
from tests.fixed_clock import NOW
from tests.night_runner import APP, NightRunner, at_hour, ids, world_of
from tests.pipeline_runner import query
from tests.webhook_receiver import Receiver

DAY = NOW.date() - timedelta(days=1)


def figures(hours: float | None, *, is_final: bool = True) -> DayFigures:
    return DayFigures({"viewer_hours": hours, "stream_hours": 2.0, "sessions": 10, "failed_sessions": 0}, is_final)


def text_of(now: dict[str, DayFigures], before: dict[str, DayFigures], *findings: str, url: str | None = None) -> str:
    return build_message(Digest(date(2026, 6, 16), now, before, [], findings, url)).text


def test_final_figures_are_compared_with_the_same_weekday() -> None:
    text = text_of({"a": figures(15)}, {"a": figures(10)}, url="https://reports.example/r.html")
    assert text.splitlines() == [
        "livehouse: Tuesday 2026-06-16 (final)",
        "viewer hours 15 (+50 %), stream hours 2 (+0 %), sessions 10 (+0 %), failed sessions 0; changes against 2026-06-09",
        "Complete: the sessions of every app are known and final.",
        "No open incident.",
        "No finding.",
        "Report: https://reports.example/r.html",
    ]


@pytest.mark.parametrize(
    ("now", "before", "shown"),
    [
        (figures(15, is_final=False), figures(10), "(provisional, these figures will change)"),
        (figures(None, is_final=False), figures(10), "viewer hours unknown, stream hours 2, sessions 10"),
        (figures(15), figures(10, is_final=False), "viewer hours 15, stream hours 2"),
        (figures(15), figures(0), "viewer hours 15, stream hours 2 (+0 %)"),
    ],
)
def test_no_change_is_shown_where_a_figure_is_not_final_or_not_known(
    now: DayFigures, before: DayFigures, shown: str
) -> None:
    text = text_of({"a": now}, {"a": before})
    assert shown in text
    assert ("changes against" in text) == (now.is_final and before.is_final)


def test_one_unknown_app_makes_the_sum_unknown() -> None:
    text = text_of({"a": figures(15), "b": figures(None, is_final=False)}, {"a": figures(10), "b": figures(10)})
    lines = text.splitlines()
    assert lines[1].startswith("viewer hours unknown, stream hours 4, sessions 20")
    assert lines[2].startswith("• a: viewer hours 15 (+50 %)")
    assert lines[3].startswith("• b: viewer hours unknown")
    assert "Not final yet: b" in text


def test_findings_from_outside_are_counted_cut_and_mention_nobody() -> None:
    text = text_of({"a": figures(15)}, {"a": figures(10)}, *(f"@channel {'x' * 900}" for _ in range(100)))
    assert "100 findings:\n" in text
    assert "@channel" not in text
    assert len(text) <= 3_000


def test_many_apps_leave_room_for_incidents_and_findings() -> None:
    apps = {f"app-{number:036}": figures(15) for number in range(40)}
    text = text_of(apps, apps, "late")
    assert "• … and 32 more apps\nComplete: the sessions of every app are known and final.\n" in text
    assert text.endswith("1 finding:\n  late")


def test_a_name_from_outside_adds_no_line_and_a_sum_that_overflows_is_unknown() -> None:
    both = {"a\n• b": figures(1e308), "c": figures(1e308)}
    message = build_message(Digest(date(2026, 6, 16), both, both, [], ["x\n• y"], None))
    assert message.text.splitlines()[1].startswith("viewer hours unknown, ")
    assert [line for line in message.text.splitlines() if line.startswith("• ")] == [
        line for line in message.text.splitlines() if line.startswith(("• a\\n• b: ", "• c: "))
    ]
    assert message.fields["figures"]["viewer_hours"] is None


@pytest.mark.long
def test_a_good_night_posts_it_once_and_a_failed_or_old_one_does_not(receiver: Receiver, tmp_path: Path) -> None:
    with Simulator(world_of(2, (DAY - timedelta(days=7), DAY))) as simulator:
        home = tmp_path / "home"
        night = NightRunner(simulator, home, LIVEHOUSE_ALERT_WEBHOOK=receiver.address, LIVEHOUSE_DIGEST="webhook")
        run = night.load((DAY - timedelta(days=7), DAY), at=at_hour(DAY + timedelta(days=1), 3))
        assert post(run, DAY - timedelta(days=1)) is None
        assert receiver.posted == [], "not the day before the run"
        receiver.statuses = [410]
        assert (
            post(run, DAY) == f"could not post to LIVEHOUSE_ALERT_WEBHOOK: HTTP 410; the digest of {DAY} was not posted"
        )
        receiver.take_texts()
        assert post(run, DAY) is None
        assert post(run, DAY) is None
        [text] = receiver.take_texts()
        assert "(final)" in text.splitlines()[0]
        assert "viewer hours 3.333 (+0 %), stream hours 0.3333 (+0 %), sessions 2 (+0 %)" in text
        assert query(night.settings, "SELECT count(*) FROM ops.digests") == [(0,)], "noted after publishing"
        night.refuse(lambda request: request.operation == "get-livestream" and ids(night.world)[0] in request.path)
        failed = night.load((DAY + timedelta(days=1),) * 2, at=at_hour(DAY + timedelta(days=2), 3), full=True)
        assert failed.failures
        assert post(failed, DAY + timedelta(days=1)) is None
        assert receiver.posted == []


def post(run: RunContext, day: date) -> str | None:
    """Post the digest at the end of a run, as its last asset does."""
    with run.warehouse.run(wait_seconds=5, log=print):
        return post_digest(run, day, [])


@pytest.mark.long
def test_without_a_webhook_the_setting_is_named(tmp_path: Path) -> None:
    with Simulator(world_of(1)) as simulator:
        night = NightRunner(simulator, tmp_path / "home", LIVEHOUSE_DIGEST="webhook")
        run = night.load((DAY, DAY), at=at_hour(DAY + timedelta(days=1), 3))
    assert APP in run.settings.app_ids
    assert post(run, DAY) == "LIVEHOUSE_DIGEST is set without LIVEHOUSE_ALERT_WEBHOOK: set both, or neither"

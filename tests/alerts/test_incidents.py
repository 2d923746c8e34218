"""Incidents open once, follow their days, and close when a later day is not in violation or their own days are corrected."""

from dataclasses import replace
from datetime import date, datetime, timedelta

from pipelines.alerts.evaluation import Reading
from pipelines.alerts.incidents import Incident, update_incidents
from pipelines.alerts.rules import load_rules

[RULE] = [rule for rule in load_rules(None).rules if rule.name == "error_rate"]
DAY = date(2026, 6, 10)
NOW = datetime(2026, 6, 16, 3)


def day(number: int) -> date:
    return DAY + timedelta(days=number)


def reading(number: int, *, bad: bool, value: float = 0.1, app_id: str = "aula") -> Reading:
    return Reading(app_id, None, day(number), value if bad else 0.01, 0.05, is_violation=bad)


def update(known: list[Incident], *readings: Reading, recent: int = 0) -> list[Incident]:
    """Return all incidents after an evaluation, the changed ones replaced."""
    changed = update_incidents(known, RULE, readings, recent=day(recent), now=NOW + timedelta(minutes=len(known)))
    by_id = {incident.incident_id: incident for incident in (*known, *changed)}
    assert len({incident.incident_id for incident in changed}) == len(changed)
    return list(by_id.values())


def summaries(incidents: list[Incident]) -> list[tuple[date | None, date | None, str | None]]:
    return [(one.first_day, one.last_day, one.closing) for one in incidents]


def test_consecutive_days_are_one_incident_that_the_next_good_day_closes() -> None:
    first = update([], reading(0, bad=True))
    assert summaries(first) == [(day(0), day(0), None)]
    assert update(first, reading(0, bad=True)) == first
    second = update(first, reading(0, bad=True), reading(1, bad=True, value=0.3))
    assert summaries(second) == [(day(0), day(1), None)]
    assert (second[0].first_value, second[0].last_value) == (0.1, 0.3)
    third = update(second, reading(0, bad=True), reading(1, bad=True, value=0.3), reading(2, bad=False))
    assert summaries(third) == [(day(0), day(1), "over")]
    assert third[0].text == (
        "error rate 30 % (above 5 %) from 2026-06-10 to 2026-06-11 in app aula; it is over: 1 % on 2026-06-12"
    )
    again = update(third, *(reading(number, bad=number < 2) for number in range(4)))
    assert again == third, "days of a closed incident open none"


def test_a_later_violation_is_another_incident() -> None:
    found = update([], reading(0, bad=True), reading(1, bad=False), reading(2, bad=True))
    assert summaries(found) == [(day(0), day(0), "over"), (day(2), day(2), None)]


def test_days_without_a_reading_neither_extend_nor_close() -> None:
    found = update(update([], reading(0, bad=True)), reading(0, bad=True))
    assert summaries(update(found)) == [(day(0), day(0), None)], "its own day is not settled any more"
    assert summaries(update(found, reading(0, bad=True), reading(5, bad=True))) == [(day(0), day(5), None)]


def test_a_correction_closes_and_a_later_one_opens_again() -> None:
    known = update([], reading(0, bad=True))
    corrected = update(known, reading(0, bad=False))
    assert summaries(corrected) == [(day(0), day(0), "corrected")]
    assert "the figures were corrected: 1 % on 2026-06-10" in corrected[0].text
    assert summaries(update(corrected, reading(0, bad=True)))[1:] == [(day(0), day(0), None)]


def test_a_correction_of_the_last_day_ends_the_incident_there() -> None:
    known = update([], reading(0, bad=True), reading(1, bad=True))
    assert summaries(update(known, reading(0, bad=True), reading(1, bad=False))) == [(day(0), day(0), "over")]


def test_a_correction_is_not_claimed_while_one_of_the_days_is_unknown() -> None:
    known = update([], reading(0, bad=True), reading(1, bad=True))
    assert update(known, reading(1, bad=False)) == known


def test_old_days_open_nothing_and_still_close() -> None:
    assert update([], reading(0, bad=True), reading(1, bad=True), recent=2) == []
    known = update([], reading(0, bad=True))
    assert summaries(update(known, reading(0, bad=True), reading(1, bad=False), recent=6)) == [(day(0), day(0), "over")]


def test_days_that_settle_after_a_later_one_are_not_forgotten() -> None:
    known = update([], reading(2, bad=True))
    apart = update(known, reading(0, bad=True), reading(1, bad=False), reading(2, bad=True))
    assert summaries(apart) == [(day(2), day(2), None), (day(0), day(0), "over")]
    joined = update(known, reading(1, bad=True, value=0.4), reading(2, bad=True))
    assert summaries(joined) == [(day(1), day(2), None)]
    assert (joined[0].first_value, joined[0].last_value) == (0.4, 0.1)
    assert "from 2026-06-11 to 2026-06-12" in joined[0].text
    closed = update(known, reading(1, bad=True), reading(2, bad=True), reading(3, bad=False))
    assert summaries(closed) == [(day(1), day(2), "over")]


def test_apps_do_not_share_incidents() -> None:
    found = update([], reading(0, bad=True), reading(0, bad=True, app_id="stage"))
    assert len(found) == 2
    after = update(found, reading(1, bad=False, app_id="stage"), reading(0, bad=True))
    assert {one.app_id: one.closing for one in after} == {"aula": None, "stage": "over"}


def test_a_current_state_opens_once_and_closes_when_it_has_passed() -> None:
    state = Reading("aula", None, None, 31.0, 30.0, is_violation=True)
    known = update([], state)
    assert summaries(known) == [(None, None, None)]
    assert summaries(update(known, replace(state, value=40.0))) == [(None, None, None)]
    assert summaries(update(known, replace(state, value=2.0, is_violation=False))) == [(None, None, "over")]
    assert update([], replace(state, can_open=False)) == []

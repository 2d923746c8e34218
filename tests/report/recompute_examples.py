"""The answers of `sql/examples/` once more, in plain Python, from rows of the core tables and the recomputed marts."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

from tests.report import recompute
from tests.report.recompute import Facts, Row, failed, midnight, month_of

KEYS = (
    *("app_id", "weekday", "hour_of_day", "month", "week", "err_message", "livestream_id"),
    *("session_id", "day", "week_of_age", "last_changed", "customer", "holder_type", "holder", "measure"),
)
"""Columns that identify a row of an answer."""


def last_day(facts: Facts) -> date:
    return max(day for table, _, day in facts.loaded if table == recompute.SESSIONS)


def busiest_hour(facts: Facts) -> list[Row]:
    first = last_day(facts) - timedelta(days=27)
    counted: dict[tuple[str, str, int], int] = defaultdict(int)
    hours: dict[tuple[str, str, int], float] = defaultdict(float)
    for (table, app, day), (is_known, loaded_at) in facts.loaded.items():
        if table != recompute.SESSIONS or not is_known or day < first:
            continue
        spans = recompute.spans_within(facts.of_apps([app]), day)
        for hour in range(24):
            begin = midnight(day) + timedelta(hours=hour)
            if begin >= loaded_at:
                continue
            end = begin + timedelta(hours=1)
            key = (app, f"{day:%A}", hour)
            counted[key] += 1
            hours[key] += sum(max(0.0, (min(b, end) - max(a, begin)).total_seconds()) for a, b in spans) / 3600
    return [
        {"app_id": app, "weekday": weekday, "hour_of_day": hour, "average_concurrent_streams": hours[key] / count}
        for key, count in counted.items()
        for app, weekday, hour in [key]
        if hours[key] > 0
    ]


def error_messages(facts: Facts) -> list[Row]:
    since = last_day(facts) - timedelta(days=28)
    found: dict[str, list[Row]] = defaultdict(list)
    for row in facts.sessions:
        if failed(row) and row["day"] > since:
            found[row["err_message"]].append(row)
    return [
        {
            "err_message": message,
            "sessions": len(rows),
            "after_going_live": sum(row["started_at"] is not None for row in rows),
            "livestreams": len({(row["app_id"], row["livestream_id"]) for row in rows}),
            "first_day": min(row["day"] for row in rows),
        }
        for message, rows in found.items()
    ]


def monday(day: date) -> date:
    return day - timedelta(days=day.weekday())


def time_to_live_by_week(facts: Facts) -> list[Row]:
    since = monday(last_day(facts)) - timedelta(weeks=11)
    found: dict[tuple[date, str], list[float]] = defaultdict(list)
    for row in facts.sessions:
        waited = recompute.waited(row)
        if waited is not None and row["day"] >= since:
            found[monday(row["day"]), row["app_id"]].append(waited)
    made = []
    for (week, app), waits in found.items():
        before, now = found.get((week - timedelta(days=7), app), []), recompute.percentile(waits, 0.95)
        then = recompute.percentile(before, 0.95)
        more = None if now is None or then is None else now - then
        made.append(
            {"week": week, "app_id": app, "sessions_live": len(waits), "p95_seconds": now, "p95_seconds_more": more}
        )
    return made


def weekday_rhythm(facts: Facts) -> list[Row]:
    daily = recompute.daily_usage(facts)
    since = max(day for _, day in daily) - timedelta(days=56)
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for (app, day), row in daily.items():
        if day > since:
            found[app, f"{day:%A}"].append(row)

    def mean(rows: list[Row], name: str, factor: float) -> float | None:
        known = [row[name] for row in rows if row[name] is not None]
        return sum(known) / len(known) / factor if known else None

    return [
        {
            "app_id": app,
            "weekday": weekday,
            "days_known": sum(row["sessions"] is not None for row in rows),
            "sessions_a_day": mean(rows, "sessions", 1),
            "viewer_hours_a_day": mean(rows, "viewer_seconds", 3600),
        }
        for (app, weekday), rows in found.items()
    ]


def peak_streams(facts: Facts) -> list[Row]:
    found: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for (app, day), row in recompute.stream_concurrency(facts).items():
        found[app, month_of(day)].append(row)
    return [
        {
            "app_id": app,
            "month": month,
            "peak_concurrent_streams": max(row["peak_concurrent_streams"] for row in rows),
            "stream_hours": sum(row["stream_hours"] for row in rows),
        }
        for (app, month), rows in found.items()
    ]


def never_watched(facts: Facts) -> list[Row]:
    rows = recompute.livestream_performance(facts)
    latest = max(month for _, _, month in rows)
    return [
        {"app_id": app, "livestream_id": livestream, "sessions": row["sessions"]}
        for (app, livestream, month), row in rows.items()
        if month == latest and row["is_never_watched"]
    ]


def session_days(facts: Facts, app: str) -> dict[date, bool]:
    """Whether each loaded day of an app's sessions is known."""
    return {
        day: is_known
        for (table, of, day), (is_known, _) in facts.loaded.items()
        if (table, of) == (recompute.SESSIONS, app)
    }


def hours(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / 3600 if known else None


def allowance_use(facts: Facts) -> list[Row]:
    usage = recompute.monthly_usage(facts)
    latest = max(month for _, month in usage)
    assumed = {
        ("app", app, "viewer_minutes"): (60_000.0, None)
        for app, month in usage
        if month == latest and ("app", app, "viewer_minutes") not in facts.allowances
    }
    made = []
    everything = replace(facts, allowances=facts.allowances | assumed)
    for (month, holder_type, holder, measure), row in recompute.monthly_allowance(everything).items():
        if month != latest:
            continue
        used, included = row["used_minutes"], row["included_minutes"]
        percent = row["used_percent"]
        state = "unknown" if used is None else "over" if used > included else "within"
        if percent is not None and state != "over":
            state = ["within", "near", "over"][(percent >= 70) + (percent >= 100)]
        made.append(
            {
                "month": month,
                "holder_type": holder_type,
                "holder": holder,
                "measure": measure,
                "used_hours": None if used is None else used / 60,
                "included_hours": included / 60,
                "used_percent": percent,
                "state": state,
                "is_complete": row["is_complete"],
                "is_assumed": (holder_type, holder, measure) in assumed,
            }
        )
    return made


def add_by_customer(facts: Facts, month: date) -> dict[str, list[Row]]:
    """Return the rows of a month by customer."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for (_, of, customer), row in recompute.monthly_cost(facts).items():
        if of == month:
            groups[customer].append(row)
    return groups


def cost_by_customer(facts: Facts) -> list[Row]:
    latest = max(month for _, month in recompute.monthly_usage(facts))
    groups = add_by_customer(facts, latest)
    watched = sum(row["viewer_seconds"] or 0 for rows in groups.values() for row in rows)
    made = []
    for customer, rows in groups.items():
        seconds = sum(row["viewer_seconds"] or 0 for row in rows)
        made.append(
            {
                "month": latest,
                "customer": customer,
                "sessions": sum(row["sessions"] or 0 for row in rows),
                "viewer_hours": seconds / 3600,
                "viewer_percent": 100 * seconds / watched if watched else None,
                "dollars": sum(row["cost"] for row in rows),
                "is_complete": all(row["is_complete"] for row in rows),
            }
        )
    return made


def customers_by_growth(facts: Facts) -> list[Row]:
    latest = max(month for _, month in recompute.monthly_usage(facts))
    before = month_of(latest - timedelta(days=1))
    hours: dict[date, dict[str, float]] = {}
    for month in (latest, before):
        usage = [row for (_, of), row in recompute.monthly_usage(facts).items() if of == month]
        is_known = bool(usage) and all(row["days_known"] == row["days_in_month"] for row in usage)
        groups = add_by_customer(facts, month) if is_known else {}
        hours[month] = {name: sum(row["viewer_seconds"] or 0 for row in rows) / 3600 for name, rows in groups.items()}
    made = []
    for customer in {*add_by_customer(facts, latest), *add_by_customer(facts, before)}:
        now, earlier = (hours[month].get(customer, 0.0) if hours[month] else None for month in (latest, before))
        more = None if now is None or earlier is None else now - earlier
        made.append(
            {
                "month": latest,
                "customer": customer,
                "viewer_hours": now,
                "viewer_hours_before": earlier,
                "hours_more": more,
                "change_percent": 100 * more / earlier if more is not None and earlier else None,
            }
        )
    return made


def session_overage(facts: Facts) -> list[Row]:
    latest = max(month_of(row["day"]) for row in facts.sessions)
    names = {(row["app_id"], row["livestream_id"]): row["name"] for row in facts.livestreams}
    return [
        {
            "app_id": row["app_id"],
            "session_id": row["session_id"],
            "day": row["day"],
            "name": names.get((row["app_id"], row["livestream_id"])),
            "hours_beyond": row["viewer_seconds"] / 3600,
            "dollars": row["viewer_seconds"] / 3600 * 0.06,
            "is_provisional": recompute.provisional(row),
        }
        for row in facts.sessions
        if month_of(row["day"]) == latest and (row["viewer_seconds"] or 0) > 0
    ]


def repeated_failures(facts: Facts) -> list[Row]:
    since = last_day(facts) - timedelta(days=28)
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in facts.sessions:
        if row["day"] > since:
            found[row["app_id"], row["livestream_id"]].append(row)
    made = []
    for (app, livestream), rows in found.items():
        bad = [begun(row) for row in rows if failed(row)]
        good = [begun(row) for row in rows if not failed(row) and row["started_at"]]
        if len(bad) >= 2:
            made.append(
                {
                    "app_id": app,
                    "livestream_id": livestream,
                    "sessions": len(rows),
                    "failed_sessions": len(bad),
                    "works_again": bool(good) and max(good) > max(bad),
                    "last_failure_at": max(bad),
                }
            )
    return made


def begun(row: Row) -> datetime:
    at: datetime = row["created_at"] or row["invoked_at"] or row["started_at"]
    return at


def time_to_live_by_weekday(facts: Facts) -> list[Row]:
    since = last_day(facts) - timedelta(weeks=12)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in facts.sessions:
        waited = recompute.waited(row)
        if waited is not None and row["day"] > since:
            found[row["app_id"], f"{row['day']:%A}"].append(waited)
    return [
        {
            "app_id": app,
            "weekday": weekday,
            "sessions_live": len(waits),
            "p50_seconds": recompute.percentile(waits, 0.5),
            "p95_seconds": recompute.percentile(waits, 0.95),
        }
        for (app, weekday), waits in found.items()
    ]


def quiet_days(facts: Facts) -> list[Row]:
    daily = recompute.daily_usage(facts)
    since = max(day for _, day in daily) - timedelta(weeks=8)
    counts: dict[tuple[str, int], list[float]] = defaultdict(list)
    for (app, day), row in daily.items():
        if day > since and row["sessions"] is not None:
            counts[app, day.weekday()].append(row["sessions"])
    return [
        {"app_id": app, "day": day, "usual_sessions": usual}
        for (app, day), row in daily.items()
        if day > since and row["sessions"] == 0
        for usual in [recompute.percentile(counts[app, day.weekday()], 0.5)]
        if usual
    ]


def longest_gap(facts: Facts) -> list[Row]:
    since = last_day(facts) - timedelta(days=27)
    made = []
    for app in {row["app_id"] for row in facts.sessions}:
        spans = sorted(
            (row["started_at"], until)
            for row in facts.of_apps([app])
            if (until := recompute.on_air_until(row)) and until > max(row["started_at"], midnight(since))
        )
        ends = [max(end for _, end in spans[: number + 1]) for number in range(len(spans))]
        gaps = [(begin - end, end, begin) for end, (begin, _) in zip(ends, spans[1:], strict=False) if begin > end]
        if not gaps:
            continue
        length, start, stop = max(gaps)
        days = [start.date() + timedelta(days=number) for number in range((stop.date() - start.date()).days + 1)]
        unknown = sum(not session_days(facts, app).get(day, False) for day in days)
        made.append(
            {"app_id": app, "since": start, "gap_hours": length.total_seconds() / 3600, "days_unknown": unknown}
        )
    return made


def hours_by_age(facts: Facts) -> list[Row]:
    first: dict[tuple[str, str], date] = {}
    for row in facts.sessions:
        key = (row["app_id"], row["livestream_id"])
        first[key] = min(row["day"], first.get(key, row["day"]))
    made = []
    for app in {app for app, _ in first}:
        for week in range(12):
            old = {key for key, day in first.items() if key[0] == app and (last_day(facts) - day).days // 7 >= week}
            rows = [
                row for row in facts.of_apps([app]) if (row["day"] - first[app, row["livestream_id"]]).days // 7 == week
            ]
            if old:
                made.append(
                    {
                        "app_id": app,
                        "week_of_age": week,
                        "livestreams_of_that_age": len(old),
                        "livestreams_used": len({row["livestream_id"] for row in rows}),
                        "viewer_hours": hours([row["viewer_seconds"] for row in rows]) if rows else 0.0,
                    }
                )
    return made


def this_week(facts: Facts) -> list[Row]:
    daily = recompute.daily_usage(facts)
    last = max(day for _, day in daily)
    made = []
    for app in {app for app, _ in daily}:
        rows = {(last - day).days: row for (of, day), row in daily.items() if of == app and (last - day).days < 35}
        if not rows:
            continue
        week = [row for age, row in rows.items() if age < 7]
        before = [row for age, row in rows.items() if age >= 7]
        known = sum(row["sessions"] is not None for row in week)
        watched, watched_before = (sum(row["viewer_seconds"] is not None for row in part) for part in (week, before))
        now, then = hours([r["viewer_seconds"] for r in week]), hours([r["viewer_seconds"] for r in before])
        made.append(
            {
                "app_id": app,
                "viewer_hours": now,
                "viewer_hours_before": then / 4 if watched_before == 28 and then is not None else None,
                "viewer_change_percent": 100 * (now / (then / 4) - 1)
                if watched + watched_before == 35 and now is not None and then
                else None,
                "session_days_known": f"{known} of 7",
            }
        )
    return made


def late_corrections(facts: Facts) -> list[Row]:
    since = last_day(facts) - timedelta(days=28)
    names = {0: "1: within an hour", 1: "2: within a day", 2: "3: within a week", 3: "4: later"}
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in facts.sessions:
        end = row["stopped_at"]
        if row["day"] > since and row["updated_at"] and end and row["updated_at"] >= end:
            late = (row["updated_at"] - end).total_seconds()
            found[row["app_id"], names[sum(late > limit for limit in (3_600, 86_400, 604_800))]].append(row)
    return [
        {
            "app_id": app,
            "last_changed": name,
            "sessions": len(rows),
            "viewer_hours": hours([row["viewer_seconds"] for row in rows]),
        }
        for (app, name), rows in found.items()
    ]


def changed_lately(facts: Facts) -> list[Row]:
    since = max(at for (table, _, _), (_, at) in facts.loaded.items() if table == recompute.SESSIONS) - timedelta(
        days=1
    )
    found: dict[tuple[str, date], list[Row]] = defaultdict(list)
    for row in facts.sessions:
        if any(row[name] is not None and row[name] >= since for name in ("created_at", "updated_at")):
            found[row["app_id"], row["day"]].append(row)
    made = []
    for (app, day), rows in found.items():
        added = sum(row["created_at"] is not None and row["created_at"] >= since for row in rows)
        made.append(
            {
                "app_id": app,
                "day": day,
                "sessions_added": added,
                "sessions_changed": len(rows) - added,
                "viewer_hours": hours([row["viewer_seconds"] for row in rows]),
            }
        )
    return made


RECOMPUTED: dict[str, Callable[[Facts], list[Row]]] = {
    answer.__name__: answer
    for answer in (
        *(busiest_hour, error_messages, time_to_live_by_week, weekday_rhythm, peak_streams, never_watched),
        *(allowance_use, session_overage, repeated_failures, time_to_live_by_weekday, quiet_days, longest_gap),
        *(hours_by_age, this_week, late_corrections, changed_lately, cost_by_customer, customers_by_growth),
    )
}
"""By the example's name without its number."""
ROWS_SHOWN = {"busiest_hour": 20, "session_overage": 20}
"""Examples that show so many rows by default, the first of their order."""

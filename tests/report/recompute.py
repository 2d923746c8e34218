"""Every mart once more, in plain Python, from rows of the core tables: no SQL, and nothing of the pipeline.

Written from the descriptions of the columns. Slow and simple on purpose: one loop over days, apps or livestreams for each.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Row = dict[str, Any]
Key = tuple[Any, ...]
A_DAY = timedelta(days=1)
SESSIONS, OVERALL = "core.livestream_sessions", "core.livestream_analytics_daily"
MEETINGS, RECORDINGS = "core.meeting_sessions_daily", "core.recordings_daily"


@dataclass
class Facts:
    """Loaded rows, and when each day was loaded."""

    sessions: list[Row]
    """With fetched_at."""
    livestreams: list[Row]
    overall: dict[tuple[str, date], Row]
    """With fetched_at and session_count."""
    meetings: dict[tuple[str, date], Row]
    recordings: dict[tuple[str, date], Row]
    loaded: dict[tuple[str, str, date], tuple[bool, datetime]]
    """By table, app and day: whether it is known, and when it was loaded."""
    quarantine: list[tuple[str, str, date | None]] = field(default_factory=list)
    """Table, app and day of each record."""
    rates: dict[str, tuple[str, float, float]] = field(default_factory=dict)
    """By app: media, export rate, participant rate."""
    customers: dict[tuple[str, str], str] = field(default_factory=dict)
    """By kind of record, livestream or meeting, and its id."""
    allowances: dict[tuple[str, str, str], tuple[float, float | None]] = field(default_factory=dict)
    """By kind of holder, holder and measure: minutes included, and the price of each minute beyond."""

    def of_day(self, app: str, day: date) -> list[Row]:
        return [row for row in self.sessions if (row["app_id"], row["day"]) == (app, day)]

    def of_apps(self, apps: list[str]) -> list[Row]:
        return [row for row in self.sessions if row["app_id"] in apps]


def midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def failed(row: Row) -> bool:
    return bool(row["err_message"])


def open_ended(row: Row) -> bool:
    return row["stopped_at"] is None and not failed(row)


def on_air_until(row: Row) -> datetime | None:
    """When it was last on air, of a session that started; None where that is unknown."""
    if row["started_at"] is None:
        return None
    if row["stopped_at"] is not None:
        return row["stopped_at"]  # type: ignore[no-any-return]
    if not failed(row):
        return row["fetched_at"]  # type: ignore[no-any-return]
    changed = row["updated_at"]
    return changed if changed is not None and changed >= row["started_at"] else None


def waited(row: Row) -> float | None:
    if row["started_at"] is None or row["invoked_at"] is None:
        return None
    seconds: float = (row["started_at"] - row["invoked_at"]).total_seconds()
    return max(0.0, seconds)


def finite(value: float | None) -> float | None:
    return value if value is None or math.isfinite(value) else None


def figure(rows: list[Row], name: str) -> float | None:
    """Sum of a figure: unknown while none of the sessions that started reports it."""
    started = [row for row in rows if row["started_at"] is not None]
    known = [row[name] for row in rows if row[name] is not None]
    if started and all(row[name] is None for row in started) and not sum(known):
        return None
    return finite(sum(known))


def average(rows: Iterable[Row]) -> float | None:
    both = [row for row in rows if row["ingest_seconds"] is not None and row["viewer_seconds"] is not None]
    ingest = sum(row["ingest_seconds"] for row in both)
    return sum(row["viewer_seconds"] for row in both) / ingest if ingest else None


def percentile(values: list[float], share: float) -> float | None:
    if not values:
        return None
    values = sorted(values)
    place = (len(values) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(values) - 1)
    return values[below] + (values[above] - values[below]) * (place - below)


def provisional(row: Row) -> bool:
    if not open_ended(row):
        return False
    begun = row["invoked_at"] or row["created_at"]
    awaited = begun is not None and row["fetched_at"] < begun + A_DAY
    return bool(row["started_at"] or row["ingest_seconds"] or row["viewer_seconds"] or awaited)


def loaded_days(facts: Facts, *tables: str) -> list[tuple[str, date]]:
    return sorted({(app, day) for table, app, day in facts.loaded if table in tables})


def known(facts: Facts, table: str, app: str, day: date) -> bool:
    return facts.loaded.get((table, app, day), (False,))[0]


def final(facts: Facts, table: str, app: str, day: date) -> bool:
    is_known, at = facts.loaded.get((table, app, day), (False, datetime.min))  # noqa: DTZ901 - no time of day is meant
    return is_known and at >= midnight(day) + A_DAY


def daily_usage(facts: Facts) -> dict[Key, Row]:
    streams = {(row["app_id"], row["livestream_id"]): row for row in facts.livestreams}
    made = {}
    for app, day in loaded_days(facts, SESSIONS, MEETINGS, RECORDINGS):
        rows = facts.of_day(app, day)
        is_known = known(facts, SESSIONS, app, day)
        ingest = figure(rows, "ingest_seconds") if is_known else None
        meeting = unlisted = 0.0
        for row in rows:
            stream = streams.get((app, row["livestream_id"]))
            if stream is None:
                unlisted += row["ingest_seconds"] or 0
            elif stream["meeting_id"]:
                meeting += row["ingest_seconds"] or 0
        aside = [table for table, of, at in facts.quarantine if (of, at) == (app, day) and table != OVERALL]
        settled = final(facts, SESSIONS, app, day) and not any(map(provisional, rows)) and SESSIONS not in aside
        meetings, recordings = facts.meetings.get((app, day), {}), facts.recordings.get((app, day), {})
        counted = {
            "sessions": len(rows),
            "failed_sessions": sum(map(failed, rows)),
            "livestreams_active": len({row["livestream_id"] for row in rows}),
            "sessions_without_figures": sum(
                1 for row in rows if row["started_at"] and None in (row["ingest_seconds"], row["viewer_seconds"])
            ),
            "provisional_sessions": sum(map(provisional, rows)),
        }
        made[app, day] = {name: count if is_known else None for name, count in counted.items()} | {
            "ingest_seconds": ingest,
            "viewer_seconds": figure(rows, "viewer_seconds") if is_known else None,
            "meeting_ingest_seconds": None if ingest is None else meeting,
            "unlisted_ingest_seconds": None if ingest is None else unlisted,
            "average_concurrent_viewers": average(rows),
            "meeting_sessions": meetings.get("session_count"),
            "meeting_minutes": meetings.get("session_minutes"),
            "recordings": recordings.get("recording_count"),
            "recording_minutes": recordings.get("recording_minutes"),
            "quarantined_records": len(aside),
            "is_settled": settled,
            "is_complete": settled
            and not aside
            and all(final(facts, table, app, day) for table in (MEETINGS, RECORDINGS)),
        }
    return made


def month_of(day: date) -> date:
    return day.replace(day=1)


def days_in_month(month: date) -> int:
    return (month_of(month + timedelta(days=31)) - month).days


def monthly_usage(facts: Facts) -> dict[Key, Row]:
    daily = daily_usage(facts)
    made = {}
    for app, month in sorted({(app, month_of(day)) for app, day in daily}):
        rows = [row for row in facts.sessions if (row["app_id"], month_of(row["day"])) == (app, month)]
        days = [row for (of, day), row in daily.items() if (of, month_of(day)) == (app, month)]
        days_known = sum(row["sessions"] is not None for row in days)

        def added(name: str, days: list[Row] = days) -> float | None:
            known = [row[name] for row in days if row[name] is not None]
            return sum(known) if known else None

        made[app, month] = {
            "sessions": len(rows) if days_known else None,
            "failed_sessions": sum(map(failed, rows)) if days_known else None,
            "livestreams_active": len({row["livestream_id"] for row in rows}) if days_known else None,
            "ingest_seconds": figure(rows, "ingest_seconds") if days_known else None,
            "viewer_seconds": figure(rows, "viewer_seconds") if days_known else None,
            "average_concurrent_viewers": average(rows),
            **{
                name: added(name) for name in ("meeting_sessions", "meeting_minutes", "recordings", "recording_minutes")
            },
            "days_in_month": days_in_month(month),
            "days_known": days_known,
            "meeting_days_known": sum(row["meeting_sessions"] is not None for row in days),
            "recording_days_known": sum(row["recordings"] is not None for row in days),
            "provisional_sessions": sum(row["provisional_sessions"] or 0 for row in days),
            "quarantined_records": sum(row["quarantined_records"] for row in days),
            "days_settled": sum(row["is_settled"] for row in days),
            "is_complete": sum(row["is_complete"] for row in days) == days_in_month(month),
        }
    return made


def dollars(minutes: float | None, rate: float | None) -> Decimal | None:
    """To the millionth, half away from zero."""
    if minutes is None or rate is None:
        return None
    return Decimal(minutes * rate).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def monthly_cost(facts: Facts) -> dict[Key, Row]:
    streams = {(row["app_id"], row["livestream_id"]): row for row in facts.livestreams}
    made = {}
    for (app, month), usage in monthly_usage(facts).items():
        groups: dict[str, list[Row]] = {"unassigned": []}
        for row in facts.sessions:
            if (row["app_id"], month_of(row["day"])) == (app, month):
                meeting = streams.get((app, row["livestream_id"]), {}).get("meeting_id") or ""
                by_meeting = facts.customers.get(("meeting", meeting), "unassigned")
                groups.setdefault(facts.customers.get(("livestream", row["livestream_id"]), by_meeting), []).append(row)
        media, export_rate, participant_rate = facts.rates[app]
        for customer, rows in groups.items():
            is_rest = customer == "unassigned"
            ingest = figure(rows, "ingest_seconds") if usage["ingest_seconds"] is not None else None
            exported = unlisted = 0.0
            for row in rows:
                stream = streams.get((app, row["livestream_id"]))
                exported += (row["ingest_seconds"] or 0) if stream and stream["meeting_id"] else 0
                unlisted += (row["ingest_seconds"] or 0) if stream is None else 0
            costs = {
                "recording_cost": dollars(usage["recording_minutes"] if is_rest else None, export_rate),
                "export_cost": dollars(None if ingest is None else exported / 60, export_rate),
                "meeting_cost": dollars(usage["meeting_minutes"] if is_rest else None, participant_rate),
            }
            made[app, month, customer] = {
                "sessions": len(rows) if usage["days_known"] else None,
                "viewer_seconds": figure(rows, "viewer_seconds") if usage["viewer_seconds"] is not None else None,
                "ingest_seconds": ingest,
                "meeting_ingest_seconds": None if ingest is None else exported,
                "unlisted_ingest_seconds": None if ingest is None else unlisted,
                "meeting_minutes": usage["meeting_minutes"] if is_rest else None,
                "recording_minutes": usage["recording_minutes"] if is_rest else None,
                "media": media,
                "export_rate": export_rate,
                "participant_rate": participant_rate,
                **costs,
                "cost": sum((cost for cost in costs.values() if cost is not None), Decimal(0))
                if set(costs.values()) != {None}
                else None,
                **{name: usage[name] for name in ("days_in_month", "days_known", "is_complete")},
                **{name: usage[name] for name in ("provisional_sessions", "quarantined_records")},
            }
    return made


def monthly_allowance(facts: Facts) -> dict[Key, Row]:
    costs = monthly_cost(facts)
    seconds = {"viewer_minutes": "viewer_seconds", "ingest_minutes": "ingest_seconds"}
    made = {}
    for (holder_type, holder, measure), (included, rate) in facts.allowances.items():
        place = 0 if holder_type == "app" else 2
        for month in {month for _, month, _ in costs}:
            of_month = {key: row for key, row in costs.items() if key[1] == month}
            mine = [row for key, row in of_month.items() if key[place] == holder]
            if holder_type == "app" and not mine:
                continue
            name = seconds.get(measure, measure)
            known = [row[name] for row in mine if row[name] is not None]
            used = sum(known) / (60 if name != measure else 1) if known else None
            if not mine and any(row[name] is not None for row in of_month.values()):
                used = 0.0
            beyond = None if used is None else max(used - included, 0.0)
            made[month, holder_type, holder, measure] = {
                "used_minutes": used,
                "included_minutes": included,
                "used_percent": None if used is None or not included else used * 100 / included,
                "overage_minutes": beyond,
                "overage_rate": rate,
                "overage_cost": dollars(beyond, rate),
                "days_in_month": days_in_month(month),
                "is_complete": all(
                    row["is_complete"] for key, row in of_month.items() if holder_type == "customer" or key[0] == holder
                ),
            }
    return made


def livestream_performance(facts: Facts) -> dict[Key, Row]:
    names = {(row["app_id"], row["livestream_id"]): row["name"] for row in facts.livestreams}
    groups: dict[Key, list[Row]] = defaultdict(list)
    for row in facts.sessions:
        groups[row["app_id"], row["livestream_id"], month_of(row["day"])].append(row)
    made = {}
    for (app, livestream, month), rows in groups.items():
        starts = [row["started_at"] for row in rows if row["started_at"]]
        moments = starts or [moment for row in rows if (moment := row["invoked_at"] or row["created_at"])]
        spans = [
            (until - row["started_at"]).total_seconds()
            for row in rows
            if (until := on_air_until(row)) and until >= row["started_at"]
        ]
        waits = [seconds for row in rows if (seconds := waited(row)) is not None]
        watched = any((row["viewer_seconds"] or 0) > 0 for row in rows)
        silent = any(row["started_at"] and row["viewer_seconds"] is None for row in rows)
        made[app, livestream, month] = {
            "name": names.get((app, livestream)),
            "sessions": len(rows),
            "failed_sessions": sum(map(failed, rows)),
            "ingest_seconds": figure(rows, "ingest_seconds"),
            "viewer_seconds": figure(rows, "viewer_seconds"),
            "average_concurrent_viewers": average(rows),
            "longest_session_seconds": max(spans, default=None),
            "first_session_at": min(moments, default=None),
            "last_session_at": max(moments, default=None),
            "time_to_live_p50_seconds": percentile(waits, 0.5),
            "time_to_live_p95_seconds": percentile(waits, 0.95),
            "is_never_watched": False if not starts or watched else None if silent else True,
            "days_active": len({row["day"] for row in rows}),
            "days_known": sum(
                is_known
                for (table, of, day), (is_known, _) in facts.loaded.items()
                if (table, of, month_of(day)) == (SESSIONS, app, month)
            ),
            "days_in_month": days_in_month(month),
        }
    for (app, livestream, month), row in made.items():
        peers = [(key[1], other) for key, other in made.items() if (key[0], key[2]) == (app, month)]
        row["best_place"] = min(
            [
                name
                for name, _ in sorted(
                    peers,
                    key=lambda one, by=by: (one[1][by] is None, -(one[1][by] or 0), one[0]),  # type: ignore[misc]
                )
            ].index(livestream)
            + 1
            for by in ("viewer_seconds", "ingest_seconds", "sessions")
        )
    return made


def session_reliability(facts: Facts) -> dict[Key, Row]:
    made = {}
    for app, day in loaded_days(facts, SESSIONS):
        rows = facts.of_day(app, day)
        is_known = known(facts, SESSIONS, app, day)
        waits = [seconds for row in rows if (seconds := waited(row)) is not None]
        steps: dict[int, int] = defaultdict(int)
        for seconds in waits:
            wait = round(seconds * 1000)
            steps[round(1.02 ** round(math.log(wait) / math.log(1.02))) if wait else 0] += 1
        messages: dict[str, int] = defaultdict(int)
        for row in rows:
            if failed(row):
                messages[row["err_message"]] += 1
        most = min(messages, key=lambda text: (-messages[text], text), default=None)
        late = [
            row
            for row in rows
            if open_ended(row)
            and (begun := row["started_at"] or row["invoked_at"] or row["created_at"])
            and row["fetched_at"] - begun > A_DAY
        ]
        counted = {
            "sessions": len(rows),
            "never_started": sum(row["started_at"] is None for row in rows),
            "failed_sessions": sum(map(failed, rows)),
            "failed_before_live": sum(failed(row) and row["started_at"] is None for row in rows),
            "failed_after_live": sum(failed(row) and row["started_at"] is not None for row in rows),
            "on_air": sum(open_ended(row) and row["started_at"] is not None for row in rows),
            "unfinished": sum(map(open_ended, rows)),
            "unfinished_over_24h": len(late),
        }
        made[app, day] = {name: count if is_known else None for name, count in counted.items()} | {
            "error_rate": sum(map(failed, rows)) / len(rows) if rows else None,
            "time_to_live_p50_seconds": percentile(waits, 0.5),
            "time_to_live_p95_seconds": percentile(waits, 0.95),
            "time_to_live_histogram": dict(steps) or None,
            "most_common_error": most,
            "most_common_error_sessions": messages[most] if most is not None else None,
        }
    return made


def spans_within(rows: list[Row], day: date) -> list[tuple[datetime, datetime]]:
    begin, end = midnight(day), midnight(day) + A_DAY
    spans = [(row["started_at"], until) for row in rows if (until := on_air_until(row))]
    return [(max(a, begin), min(b, end)) for a, b in spans if a < b and max(a, begin) < min(b, end)]


def peak_of(spans: list[tuple[datetime, datetime]]) -> tuple[int, datetime | None]:
    levels = sorted((-sum(a <= moment < b for a, b in spans), moment) for moment, _ in spans)
    return (-levels[0][0], levels[0][1]) if levels else (0, None)


def stream_concurrency(facts: Facts) -> dict[Key, Row]:
    made = {}
    held = loaded_days(facts, SESSIONS)
    for app, day in held:
        is_known = known(facts, SESSIONS, app, day)
        spans = spans_within(facts.of_apps([app]), day)
        apps = [other for other, at in held if at == day]
        together = spans_within(facts.of_apps(apps), day)
        hours = [
            sum(
                (min(b, begin + timedelta(hours=1)) - max(a, begin)).total_seconds()
                for a, b in spans
                if max(a, begin) < min(b, begin + timedelta(hours=1))
            )
            / 3600
            for begin in (midnight(day) + timedelta(hours=hour) for hour in range(24))
        ]
        busiest = min(range(24), key=lambda hour, hours=hours: (-round(hours[hour], 9), hour))  # type: ignore[misc]
        (peak, at), (account_peak, account_at) = peak_of(spans), peak_of(together)
        loaded_at = facts.loaded[SESSIONS, app, day][1]
        over = (min(loaded_at, midnight(day) + A_DAY) - midnight(day)).total_seconds() / 3600
        own = facts.of_day(app, day)
        touched = [
            (row["started_at"], until) for row in own if (until := on_air_until(row)) and until > row["started_at"]
        ]
        made[app, day] = {
            "peak_concurrent_streams": peak if is_known else None,
            "peak_at": at if is_known else None,
            "stream_hours": sum(hours) if is_known else None,
            "average_concurrent_streams": sum(hours) / over if is_known and over > 0 else None,
            "busiest_hour": busiest if is_known and spans else None,
            "busiest_hour_stream_hours": hours[busiest] if is_known and spans else None,
            "account_peak_concurrent_streams": account_peak
            if any(known(facts, SESSIONS, o, day) for o in apps)
            else None,
            "account_peak_at": account_at,
            "account_apps": sum(known(facts, SESSIONS, other, day) for other in apps),
            "first_day_reached": min((a.date() for a, _ in touched), default=None),
            "last_day_reached": max(((b - timedelta(microseconds=1)).date() for _, b in touched), default=None),
        }
    return made


def unexplained(total: float | None, values: list[float]) -> float | None:
    """Return the part of an API total that no rounding of these figures explains."""
    added = finite(math.fsum(values)) if values else 0.0
    if total is None or added is None:
        return None
    whole = total == math.floor(total)
    least = float(sum(map(math.floor, values))) if whole else added
    most = float(sum(map(math.ceil, values))) if whole else added
    tolerance = 0.5 + 1e-6 * max(total, added)
    if total - most > tolerance:
        return total - most
    return total - least if total - least < -tolerance else 0.0


def reconciliation(facts: Facts) -> dict[Key, Row]:
    made = {}
    for app, day in loaded_days(facts, SESSIONS, OVERALL):
        rows = facts.of_day(app, day)
        overall = facts.overall.get((app, day), {})
        is_known = known(facts, SESSIONS, app, day)
        apart = {}
        for name in ("ingest_seconds", "viewer_seconds"):
            values = [row[name] for row in rows if row[name] is not None]
            apart[name] = unexplained(overall.get(name), values) if is_known else None
        count, started = overall.get("session_count"), sum(row["started_at"] is not None for row in rows)
        early = overall.get("fetched_at", midnight(day) + A_DAY) < midnight(day) + A_DAY
        early = early or facts.loaded.get((SESSIONS, app, day), (True, midnight(day)))[1] < midnight(day) + A_DAY
        over, under = max(v or 0 for v in apart.values()), min(v or 0 for v in apart.values())
        if None in apart.values():
            verdict = "unknown"
        elif early or any(map(provisional, rows)):
            verdict = "unsettled"
        elif over > 0 or (count is not None and count > len(rows)):
            verdict = "sessions_missing"
        elif under < 0 or (count is not None and count < started):
            verdict = "overall_behind"
        else:
            verdict = "match"
        made[app, day] = {
            "overall_ingest_seconds": overall.get("ingest_seconds"),
            "overall_viewer_seconds": overall.get("viewer_seconds"),
            "overall_livestreams": overall.get("livestream_count"),
            "overall_session_count": count,
            "sessions": len(rows) if is_known else None,
            "sessions_started": started if is_known else None,
            "sessions_on_air": sum(open_ended(r) and r["started_at"] is not None for r in rows) if is_known else None,
            "sessions_livestreams": len({row["livestream_id"] for row in rows}) if is_known else None,
            "sessions_quarantined": sum(one == (SESSIONS, app, day) for one in facts.quarantine),
            "unexplained_ingest_seconds": apart["ingest_seconds"],
            "unexplained_viewer_seconds": apart["viewer_seconds"],
            "verdict": verdict,
        }
    return made


MARTS: dict[str, Callable[[Facts], dict[Key, Row]]] = {
    "daily_usage": daily_usage,
    "livestream_performance": livestream_performance,
    "monthly_allowance": monthly_allowance,
    "monthly_cost": monthly_cost,
    "monthly_usage": monthly_usage,
    "reconciliation": reconciliation,
    "session_reliability": session_reliability,
    "stream_concurrency": stream_concurrency,
}
GRAINS = dict.fromkeys(MARTS, ("app_id", "day")) | {
    "livestream_performance": ("app_id", "livestream_id", "month"),
    "monthly_allowance": ("month", "holder_type", "holder", "measure"),
    "monthly_cost": ("app_id", "month", "customer"),
    "monthly_usage": ("app_id", "month"),
}

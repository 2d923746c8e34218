"""Records as JSON in the configured response shapes, rendered for each request."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Generic, Literal, TypeVar

from pipelines.simulator.expected_rows import days_between, sum_sessions
from pipelines.simulator.records import DAY_MS, Livestream, Session, Usage, day_start, to_day
from pipelines.simulator.response_shapes import ResponseShapes, timestamp
from pipelines.simulator.value_styles import Json, render_count, render_flag, render_measure, render_null, render_text
from pipelines.simulator.world import World

JsonObject = dict[str, Json]
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Rows of one page and its position: offsets count from 1 and are inclusive, 0 for an empty page."""

    rows: Sequence[Row]
    skipped: int
    total: int


@dataclass(frozen=True, slots=True)
class Renderer:
    """Renders one world in one set of response shapes."""

    world: World
    shapes: ResponseShapes
    shows_key: bool = True
    """Whether the livestream of a meeting has its key and ingest server."""

    def livestream(self, livestream: Livestream) -> JsonObject:
        """Return a livestream with its stream key, as in list and detail."""
        style, key = self.world.values, livestream.id
        words = {"boolean": render_flag(livestream.disabled, f"{key}/disabled", style)}
        words["text"] = "disabled" if livestream.disabled else "enabled"
        return self._apply_broken_field(
            key,
            {
                "id": key,
                "name": render_text(livestream.name, f"{key}/name", style),
                "meeting_id": livestream.meeting_id,
                "status": livestream.status,
                "disabled": words[self.shapes.disabled],
                "ingest_server": livestream.ingest_server,
                "stream_key": livestream.stream_key,
                "playback_url": livestream.playback_url,
                "created_at": timestamp(livestream.created_ms, self.shapes.timestamps),
                "updated_at": timestamp(livestream.updated_ms, self.shapes.timestamps),
            },
        )

    def meeting_livestream(self, livestream: Livestream) -> JsonObject:
        """Return the livestream of a meeting."""
        record = self.livestream(livestream)
        if not self.shows_key:
            del record["ingest_server"], record["stream_key"]
        return record

    def session(self, session: Session) -> JsonObject:
        """Return a session with its measures at the world's time."""
        style, key = self.world.values, session.id
        ingest_seconds, viewer_seconds = self.world.measure_rules.measures_of(session)
        return self._apply_broken_field(
            key,
            {
                "id": key,
                "livestream_id": session.livestream_id,
                "created_at": self._timestamp(session.created_ms, f"{key}/created_at"),
                "updated_at": self._timestamp(session.updated_ms, f"{key}/updated_at"),
                "invoked_time": self._timestamp(session.invoked_ms, f"{key}/invoked_time"),
                "started_time": self._timestamp(session.started_ms, f"{key}/started_time"),
                "stopped_time": self._timestamp(session.stopped_ms, f"{key}/stopped_time"),
                "ingest_seconds": render_measure(ingest_seconds, f"{key}/ingest_seconds", style),
                "viewer_seconds": render_measure(viewer_seconds, f"{key}/viewer_seconds", style),
                "err_message": session.err_message,
            },
        )

    def livestream_list(self, page: Page[Livestream]) -> JsonObject:
        """Return the response of the list in one of its four shapes."""
        rows: list[Json] = []
        for number, livestream in enumerate(page.rows, start=page.skipped + 1):
            row = self.livestream(livestream)
            if self.shapes.livestreams == "per_row":
                row["paging"] = self._paging(number, number, page.total)
            rows.append(row)
        paging = self._page_paging(page)
        if self.shapes.livestreams == "array":
            return {"success": True, "data": rows, "paging": paging}
        if self.shapes.livestreams == "wrapped":
            return {"success": True, "data": {"livestreams": rows, "paging": paging}}
        if self.shapes.livestreams == "per_row":
            return {"success": True, "data": rows}
        only = rows[0] if rows else None
        return {"success": True, "data": {**(only if isinstance(only, dict) else {}), "paging": paging}}

    def livestream_detail(self, livestream: Livestream, page: Page[Session]) -> JsonObject:
        """Return the response with one livestream and a page of its sessions."""
        sessions: list[Json] = [self.session(session) for session in page.rows]
        data: JsonObject = {"livestream": self.livestream(livestream)}
        paging = self._page_paging(page)
        if self.shapes.detail == "captured":
            return {"success": True, "data": {**data, "sessions": sessions}, "paging": paging}
        if self.shapes.detail == "paging_inside":
            return {"success": True, "data": {**data, "sessions": sessions, "paging": paging}}
        return {
            "success": True,
            "data": {**data, "session": sessions[0] if sessions else None, "paging": paging},
        }

    def active_session(self, livestream: Livestream, session: Session) -> JsonObject:
        """Return a livestream and its running session."""
        running = self.session(session)
        if self.shapes.active_seconds == "text":
            for name, value in zip(
                ("ingest_seconds", "viewer_seconds"), self.world.measure_rules.measures_of(session), strict=True
            ):
                running[name] = render_measure(value, f"{session.id}/{name}", "text")
        return {"success": True, "data": {"livestream": self.livestream(livestream), "session": running}}

    def single_session(self, session: Session) -> JsonObject:
        """Return the response with one session."""
        record = self.session(session)
        if self.shapes.session_invoked == "absent":
            del record["invoked_time"]
        return {"success": True, "data": record}

    def overall_analytics(self, app_id: str, first_ms: int, last_ms: int) -> JsonObject:
        """Return totals of sessions created in [first_ms, last_ms]; in the array shape, one object per day."""
        if self.shapes.overall == "object":
            return {"success": True, "data": self._sums(app_id, first_ms, last_ms)}
        days = days_between(
            to_day(first_ms), to_day(max(first_ms, last_ms - 1))
        )  # without the day that begins at an end at midnight
        rows: list[Json] = []
        for day in days:
            sums = self._sums(app_id, *_clip_to_range(day, first_ms, last_ms))
            rows.append({**sums, "date": timestamp(day_start(day), "z")})
        return {"success": True, "data": rows}

    def livestreams_by_day(self, app_id: str, first_ms: int, last_ms: int) -> list[Json]:
        """Return totals per day, with the number of sessions as count."""
        created = [session.created_ms for session in self.world.apps[app_id].sessions_between(first_ms, last_ms)]
        days: Iterable[date] = sorted({to_day(ms) for ms in created if ms is not None})
        if self.shapes.idle_days == "zeros":
            days = days_between(to_day(first_ms), to_day(last_ms))
        rows: list[Json] = []
        for day in days:
            sums = self._sums(app_id, *_clip_to_range(day, first_ms, last_ms), counted="sessions")
            rows.append({**sums, "date": day.isoformat()})
        return rows

    def daywise_analytics(self, app_id: str, first: date, last: date) -> JsonObject:
        """Return meetings and recordings of each day from first to last, inclusive."""
        app = self.world.apps[app_id]
        meetings, meeting_count, meeting_minutes = self._usage("session", app_id, app.meeting_days, first, last)
        recordings, recording_count, recording_minutes = self._usage(
            "recording", app_id, app.recording_days, first, last
        )
        sessions: JsonObject = {"day_stats": meetings, "sessions_count": meeting_count}
        sessions["sessions_minutes_consumed"] = meeting_minutes
        recorded: JsonObject = {"day_stats": recordings, "recording_count": recording_count}
        recorded["recording_minutes_consumed"] = recording_minutes
        return {"success": True, "data": {"session_stats": sessions, "recording_stats": recorded}}

    def _usage(
        self, what: str, app_id: str, days: dict[date, Usage], first: date, last: date
    ) -> tuple[list[Json], Json, Json]:
        style, rows, used = self.world.values, list[Json](), list[Usage]()
        wanted: Iterable[date] = sorted(day for day in days if first <= day <= last)
        for day in days_between(first, last) if self.shapes.idle_days == "zeros" else wanted:
            usage = days.get(day, Usage(0, 0.0))
            used.append(usage)
            key = f"{app_id}/{day}/{what}"
            rows.append(
                {
                    "day": timestamp(day_start(day), "z") if self.shapes.day == "midnight" else day.isoformat(),
                    f"total_{what}s": render_count(usage.count, f"{key}/count", style),
                    f"total_{what}_minutes": render_measure(usage.minutes, f"{key}/minutes", style),
                }
            )
        return rows, sum(usage.count for usage in used), sum(usage.minutes for usage in used)

    def _sums(
        self, app_id: str, first_ms: int, last_ms: int, *, counted: Literal["livestreams", "sessions"] = "livestreams"
    ) -> JsonObject:
        totals = sum_sessions(self.world.apps[app_id], first_ms, last_ms, self.world.measure_rules)
        style, key = self.world.values, f"{app_id}/{first_ms}"
        number = totals.sessions if counted == "sessions" else totals.livestreams
        return {
            "count": render_count(number, f"{key}/count", style),
            "total_ingest_seconds": render_measure(totals.ingest_seconds, f"{key}/ingest", style),
            "total_viewer_seconds": render_measure(totals.viewer_seconds, f"{key}/viewed", style),
        }

    def _timestamp(self, ms: int | None, key: str) -> Json:
        if ms is None:
            return render_null(key, self.world.values if self.world.values == "mixed" else "numbers")
        return timestamp(ms, self.shapes.timestamps)

    def _page_paging(self, page: Page[Row]) -> JsonObject:
        first = page.skipped + 1 if page.rows else 0
        return self._paging(first, page.skipped + len(page.rows) if page.rows else 0, page.total)

    def _paging(self, first: int, last: int, total: int) -> JsonObject:
        numbers = {"total_count": total, "start_offset": first, "end_offset": last}
        return {name: str(number) if self.shapes.paging == "text" else number for name, number in numbers.items()}

    def _apply_broken_field(self, record_id: str, record: JsonObject) -> JsonObject:
        """Return the record with its broken field, if it has one."""
        broken = self.world.broken.get(record_id)
        if broken is not None:
            record[broken.field] = broken.raw
        return record


def _clip_to_range(day: date, first_ms: int, last_ms: int) -> tuple[int, int]:
    """Return the first and last millisecond of the part of a day within a range."""
    return max(first_ms, day_start(day)), min(last_ms, day_start(day) + DAY_MS - 1)

"""The records behind a month's figures, as SQL: now, and when the month was closed."""

from pipelines.catalog.core import LIVESTREAM_SESSIONS, LIVESTREAMS, MEETING_SESSIONS_DAILY, RECORDINGS_DAILY
from pipelines.catalog.cost import CUSTOMERS, STATEMENT_RECORDS, UNASSIGNED
from pipelines.catalog.ops import DAYS, QUARANTINE

_SESSIONS, _MEETINGS, _RECORDINGS = (
    table.full_name for table in (LIVESTREAM_SESSIONS, MEETING_SESSIONS_DAILY, RECORDINGS_DAILY)
)

_DAY_RECORDS = """
    SELECT app_id, '{table}' AS table_name, CAST(day AS VARCHAR) AS record_id, day, true AS is_loaded,
        '{unassigned}' AS customer, false AS streams_meeting,
        NULL AS ingest_seconds, NULL AS viewer_seconds, {minutes} AS minutes
    FROM {table} WHERE day BETWEEN $first AND $last
"""

CURRENT_RECORDS = f"""
    WITH loaded AS (
        SELECT session.app_id, '{_SESSIONS}' AS table_name, session.session_id AS record_id, session.day, true AS is_loaded,
            coalesce(by_livestream.customer, by_meeting.customer, '{UNASSIGNED}') AS customer,
            coalesce(stream.meeting_id <> '', false) AS streams_meeting,
            session.ingest_seconds, session.viewer_seconds, CAST(NULL AS DOUBLE) AS minutes
        FROM {_SESSIONS} AS session
        LEFT JOIN {LIVESTREAMS.full_name} AS stream
            ON session.app_id = stream.app_id AND session.livestream_id = stream.livestream_id
        LEFT JOIN {CUSTOMERS.full_name} AS by_livestream
            ON by_livestream.assigned_by = 'livestream' AND session.livestream_id = by_livestream.record_id
        LEFT JOIN {CUSTOMERS.full_name} AS by_meeting
            ON by_meeting.assigned_by = 'meeting' AND stream.meeting_id = by_meeting.record_id
        WHERE session.day BETWEEN $first AND $last
        UNION ALL
        {_DAY_RECORDS.format(table=_MEETINGS, minutes="session_minutes", unassigned=UNASSIGNED)}
        UNION ALL
        {_DAY_RECORDS.format(table=_RECORDINGS, minutes="recording_minutes", unassigned=UNASSIGNED)}
    ),
    quarantined AS (
        -- a record without a day may belong to this month: its repair shows
        SELECT app_id, table_name, record_id, any_value(day) AS day FROM {QUARANTINE.full_name}
        WHERE table_name IN ('{_SESSIONS}', '{_MEETINGS}', '{_RECORDINGS}') AND record_id IS NOT NULL
            AND (day IS NULL OR day BETWEEN $first AND $last)
        GROUP BY app_id, table_name, record_id
    )
    SELECT
        coalesce(loaded.app_id, quarantined.app_id) AS app_id,
        coalesce(loaded.table_name, quarantined.table_name) AS table_name,
        coalesce(loaded.record_id, quarantined.record_id) AS record_id,
        coalesce(loaded.day, quarantined.day) AS day,
        coalesce(loaded.is_loaded, false) AS is_loaded,
        quarantined.record_id IS NOT NULL AS is_quarantined,
        loaded.* EXCLUDE (app_id, table_name, record_id, day, is_loaded)
    FROM loaded FULL JOIN quarantined
        ON loaded.app_id = quarantined.app_id AND loaded.table_name = quarantined.table_name
            AND loaded.record_id = quarantined.record_id
    UNION ALL BY NAME
    SELECT app_id, '{DAYS.full_name}' AS table_name, CAST(day AS VARCHAR) AS record_id, day, is_known AS is_loaded
    FROM {DAYS.full_name} WHERE table_name = '{_SESSIONS}' AND day BETWEEN $first AND $last
"""
"""One row for each session, each day of meetings and recordings, each quarantined record, and each loaded day of sessions."""

RECORD_CHANGES = f"""
    WITH held AS (SELECT * FROM {STATEMENT_RECORDS.full_name} WHERE month = $first),
    current_records AS ({CURRENT_RECORDS}),
    known_days AS (SELECT app_id, day FROM held WHERE table_name = '{DAYS.full_name}' AND is_loaded),
    pairs AS (
        SELECT
            coalesce(held.app_id, now.app_id) AS app_id,
            coalesce(held.table_name, now.table_name) AS table_name,
            coalesce(held.record_id, now.record_id) AS record_id,
            coalesce(now.day, held.day) AS day,
            coalesce(held.is_loaded, false) AS was_loaded,
            coalesce(now.is_loaded, false) AS is_loaded,
            coalesce(held.is_quarantined, false) AS was_quarantined,
            coalesce(now.is_quarantined, false) AS is_quarantined,
            held.customer AS old_customer,
            coalesce(now.customer, held.customer) AS customer,
            coalesce(held.streams_meeting, false) AS streamed_meeting,
            coalesce(now.streams_meeting, false) AS streams_meeting,
            -- a figure that is NULL adds nothing
            CASE WHEN held.is_loaded THEN coalesce(held.ingest_seconds, 0) ELSE 0 END AS old_ingest,
            CASE WHEN now.is_loaded THEN coalesce(now.ingest_seconds, 0) ELSE 0 END AS ingest,
            CASE WHEN held.is_loaded THEN coalesce(held.viewer_seconds, 0) ELSE 0 END AS old_viewer,
            CASE WHEN now.is_loaded THEN coalesce(now.viewer_seconds, 0) ELSE 0 END AS viewer,
            CASE WHEN held.is_loaded THEN coalesce(held.minutes, 0) ELSE 0 END AS old_minutes,
            CASE WHEN now.is_loaded THEN coalesce(now.minutes, 0) ELSE 0 END AS minutes
        FROM held FULL JOIN current_records AS now
            ON held.app_id = now.app_id AND held.table_name = now.table_name AND held.record_id = now.record_id
        WHERE coalesce(held.table_name, now.table_name) <> '{DAYS.full_name}'
            AND (coalesce(held.is_loaded, false) OR coalesce(now.is_loaded, false))
    ),
    found AS (
        SELECT
            pairs.*,
            CASE
                WHEN NOT is_loaded AND elsewhere.session_id IS NOT NULL THEN 'session moved to another month'
                WHEN NOT is_loaded THEN 'record no longer in the warehouse'
                WHEN was_quarantined AND NOT is_quarantined THEN 'quarantined record repaired'
                WHEN was_loaded AND table_name = '{_SESSIONS}' THEN 'late session correction'
                WHEN was_loaded THEN 'late correction of a day'
                WHEN table_name <> '{_SESSIONS}' OR known_days.day IS NULL THEN 'day loaded later'
                ELSE 'late session'
            END AS cause
        FROM pairs
        LEFT JOIN known_days ON pairs.app_id = known_days.app_id AND pairs.day = known_days.day
        LEFT JOIN {_SESSIONS} AS elsewhere
            ON NOT pairs.is_loaded AND pairs.table_name = '{_SESSIONS}'
                AND pairs.app_id = elsewhere.app_id AND pairs.record_id = elsewhere.session_id
    ),
    -- each row is one step from the old to the current state of a record, at one customer: the steps add up to the difference
    steps AS (
        SELECT app_id, old_customer AS customer, 'customer mapping changed' AS cause, table_name, record_id, day,
            -1 AS sessions, -old_ingest AS ingest, -old_viewer AS viewer,
            CASE WHEN streamed_meeting THEN -old_ingest ELSE 0 END AS meeting_ingest, 0 AS minutes
        FROM found WHERE was_loaded AND is_loaded AND old_customer <> customer
        UNION ALL
        SELECT app_id, customer, 'customer mapping changed', table_name, record_id, day,
            1, old_ingest, old_viewer, CASE WHEN streamed_meeting THEN old_ingest ELSE 0 END, 0
        FROM found WHERE was_loaded AND is_loaded AND old_customer <> customer
        UNION ALL
        SELECT app_id, customer, 'livestream assigned to a meeting, or no longer', table_name, record_id, day,
            0, 0, 0, CASE WHEN streams_meeting THEN old_ingest ELSE -old_ingest END, 0
        FROM found WHERE was_loaded AND is_loaded AND streamed_meeting <> streams_meeting
        UNION ALL
        SELECT app_id, customer, cause, table_name, record_id, day,
            CASE WHEN table_name = '{_SESSIONS}' THEN CAST(is_loaded AS INTEGER) - CAST(was_loaded AS INTEGER) ELSE 0 END,
            ingest - old_ingest, viewer - old_viewer,
            CASE WHEN CASE WHEN is_loaded THEN streams_meeting ELSE streamed_meeting END THEN ingest - old_ingest ELSE 0 END,
            minutes - old_minutes
        FROM found
    )
    SELECT
        app_id, customer, cause,
        CAST(sum(sessions) AS BIGINT) AS sessions,
        sum(viewer) / 60 AS viewer_minutes,
        sum(ingest) / 60 AS ingest_minutes,
        sum(meeting_ingest) / 60 AS meeting_ingest_minutes,
        sum(minutes) FILTER (WHERE table_name = '{_MEETINGS}') AS meeting_minutes,
        sum(minutes) FILTER (WHERE table_name = '{_RECORDINGS}') AS recording_minutes,
        count(DISTINCT (table_name, record_id)) AS records,
        min(day) AS first_day,
        max(day) AS last_day,
        list(DISTINCT record_id ORDER BY record_id)[:3] AS examples
    FROM steps
    WHERE sessions <> 0 OR ingest <> 0 OR viewer <> 0 OR meeting_ingest <> 0 OR minutes <> 0
    GROUP BY app_id, customer, cause
    ORDER BY app_id, customer, cause
"""
"""How much each cause changed each figure since the month was closed, by app and customer."""

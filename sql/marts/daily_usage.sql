-- Usage of each app by day: time streamed and watched, meetings, recordings.
-- A figure is NULL if it is unknown: the day is not loaded, the source no longer has it, or a sum exceeds a DOUBLE. It is 0 if
-- the day is known and nothing happened. All of a session counts on the day in core.livestream_sessions.day. A session that
-- never started was fed nothing. A session that started and reports no figure adds nothing; if none of the sessions that
-- started reports the figure, the sum is unknown.
-- grain: app_id, day
-- headline_metric: viewer_seconds
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day; one row for each day that any of the fact tables has
-- column: sessions (count): livestream sessions
-- column: failed_sessions (count): sessions with an error message
-- column: livestreams_active (count): livestreams with at least one session
-- column: ingest_seconds (seconds): time streams were fed in; sessions that started but report no figure add nothing
-- column: meeting_ingest_seconds (seconds): part of ingest_seconds from livestreams that stream a meeting
-- column: unlisted_ingest_seconds (seconds): part of ingest_seconds from livestreams that were never listed: whether of a meeting is unknown
-- column: sessions_without_figures (count): sessions that started and report no ingest or no viewer seconds
-- column: viewer_seconds (seconds): time watched, summed over viewers and sessions
-- column: average_concurrent_viewers (viewers): paired_viewer_seconds / paired_ingest_seconds; NULL if nothing was fed in
-- column: paired_ingest_seconds (seconds): part of ingest_seconds from sessions that also report viewer seconds
-- column: paired_viewer_seconds (seconds): part of viewer_seconds from sessions that also report ingest seconds
-- column: meeting_sessions (count): meeting sessions
-- column: meeting_minutes (minutes): minutes of meeting sessions
-- column: recordings (count): recordings
-- column: recording_minutes (minutes): minutes recorded
-- column: provisional_sessions (count): sessions whose figures may still change: they had not ended when last fetched
-- column: quarantined_records (count): session, meeting and recording records of the day in ops.quarantine
-- column: is_settled (flag): the sessions are known and final: fetched after the end of the day, for every livestream that may have had one, none provisional, none quarantined
-- column: is_complete (flag): is_settled, and meetings and recordings are known, fetched after the end of the day, none quarantined
-- column: loaded_at (UTC time): latest load of any of these figures
WITH loaded AS (
    SELECT
        app_id,
        day,
        coalesce(bool_or(is_known) FILTER (WHERE table_name = 'core.livestream_sessions'), false) AS has_sessions,
        count(*) FILTER (WHERE is_known AND is_after_day(loaded_at, day)) AS tables_final,
        count(*) FILTER (
            WHERE
                table_name = 'core.livestream_sessions'
                AND is_known
                AND is_after_day(loaded_at, day)
                AND coalesce(unread_livestreams, 0) = 0
        ) AS sessions_final,
        max(loaded_at) AS loaded_at
    FROM ops.days
    WHERE table_name IN ('core.livestream_sessions', 'core.meeting_sessions_daily', 'core.recordings_daily')
    GROUP BY app_id, day
),
sums AS (
    SELECT
        session.app_id,
        session.day,
        count(*) AS sessions,
        count(*) FILTER (WHERE session.is_failed) AS failed_sessions,
        count(session.started_at) AS started_sessions,
        count(DISTINCT session.livestream_id) AS livestreams_active,
        sum_reported(session.ingest_seconds, session.started_at) AS ingest_seconds,
        sum_reported(session.viewer_seconds, session.started_at) AS viewer_seconds,
        finite(sum_paired(session.ingest_seconds, session.viewer_seconds)) AS paired_ingest_seconds,
        finite(sum_paired(session.viewer_seconds, session.ingest_seconds)) AS paired_viewer_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.meeting_id <> '') AS meeting_ingest_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.livestream_id IS NULL) AS unlisted_ingest_seconds,
        count(*) FILTER (
            WHERE session.started_at IS NOT NULL AND (session.ingest_seconds IS NULL OR session.viewer_seconds IS NULL)
        ) AS sessions_without_figures,
        -- a session that has not started within a day and reports no figure no longer keeps its day provisional
        count(*) FILTER (
            WHERE session.is_provisional AND (
                session.started_at IS NOT NULL
                OR session.ingest_seconds > 0
                OR session.viewer_seconds > 0
                OR session.fetched_at < coalesce(session.invoked_at, session.created_at) + INTERVAL 1 DAY
            )
        ) AS provisional_sessions
    FROM core.livestream_sessions AS session
    LEFT JOIN core.livestreams AS stream
        ON session.app_id = stream.app_id AND session.livestream_id = stream.livestream_id
    GROUP BY session.app_id, session.day
),
quarantined AS (
    SELECT
        app_id,
        day,
        count(*) AS records,
        count(*) FILTER (WHERE table_name = 'core.livestream_sessions') AS sessions
    FROM ops.quarantine
    WHERE table_name IN ('core.livestream_sessions', 'core.meeting_sessions_daily', 'core.recordings_daily')
    GROUP BY app_id, day
),
known AS (
    SELECT
        loaded.*,
        sums.* EXCLUDE (app_id, day, ingest_seconds, viewer_seconds),
        reported_figure(sums.ingest_seconds, sums.started_sessions, loaded.has_sessions) AS ingest_seconds,
        reported_figure(sums.viewer_seconds, sums.started_sessions, loaded.has_sessions) AS viewer_seconds,
        loaded.sessions_final = 1
        AND coalesce(sums.provisional_sessions, 0) = 0
        AND coalesce(quarantined.sessions, 0) = 0 AS is_settled,
        coalesce(quarantined.records, 0) AS quarantined_records
    FROM loaded
    LEFT JOIN sums ON sums.app_id = loaded.app_id AND sums.day = loaded.day
    LEFT JOIN quarantined ON quarantined.app_id = loaded.app_id AND quarantined.day = loaded.day
)
SELECT
    known.app_id,
    known.day,
    zero_if_known(known.sessions, known.has_sessions) AS sessions,
    zero_if_known(known.failed_sessions, known.has_sessions) AS failed_sessions,
    zero_if_known(known.livestreams_active, known.has_sessions) AS livestreams_active,
    known.ingest_seconds,
    zero_if_known(known.meeting_ingest_seconds, known.ingest_seconds IS NOT NULL) AS meeting_ingest_seconds,
    zero_if_known(known.unlisted_ingest_seconds, known.ingest_seconds IS NOT NULL) AS unlisted_ingest_seconds,
    zero_if_known(known.sessions_without_figures, known.has_sessions) AS sessions_without_figures,
    known.viewer_seconds,
    average_viewers(known.paired_viewer_seconds, known.paired_ingest_seconds) AS average_concurrent_viewers,
    known.paired_ingest_seconds,
    known.paired_viewer_seconds,
    meetings.session_count AS meeting_sessions,
    meetings.session_minutes AS meeting_minutes,
    recordings.recording_count AS recordings,
    recordings.recording_minutes,
    zero_if_known(known.provisional_sessions, known.has_sessions) AS provisional_sessions,
    known.quarantined_records,
    known.is_settled,
    known.is_settled AND known.tables_final = 3 AND known.quarantined_records = 0 AS is_complete,
    known.loaded_at
FROM known
LEFT JOIN core.meeting_sessions_daily AS meetings ON meetings.app_id = known.app_id AND meetings.day = known.day
LEFT JOIN core.recordings_daily AS recordings ON recordings.app_id = known.app_id AND recordings.day = known.day

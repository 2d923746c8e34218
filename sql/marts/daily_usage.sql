-- Usage of each app by day: how much was streamed, watched, met and recorded.
-- A figure is NULL where it is unknown (the day was not loaded, or the source no longer remembers it) and 0 where the
-- day is known and nothing happened. Sessions count on the day of core.livestream_sessions.day, wholly.
-- grain: app_id, day
-- again: unlisted_ingest_seconds
-- drawn: viewer_seconds
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day; one row for each that any of the fact tables holds
-- column: sessions (count): livestream sessions
-- column: failed_sessions (count): of them, those with an error message
-- column: livestreams_active (count): livestreams with at least one session
-- column: ingest_seconds (seconds): time streams were fed in; sessions that started but report no figure add nothing
-- column: meeting_ingest_seconds (seconds): of ingest_seconds, that of livestreams that stream a meeting
-- column: unlisted_ingest_seconds (seconds): of ingest_seconds, that of livestreams never listed: of a meeting or not, unknown
-- column: sessions_without_figures (count): sessions that started and report no ingest or no viewer seconds
-- column: viewer_seconds (seconds): time watched, summed over viewers and sessions
-- column: average_concurrent_viewers (viewers): viewer_seconds / ingest_seconds; NULL where nothing was fed in
-- column: meeting_sessions (count): meeting sessions
-- column: meeting_minutes (minutes): minutes of meeting sessions
-- column: recordings (count): recordings
-- column: recording_minutes (minutes): minutes recorded
-- column: loaded_at (UTC time): when any of these figures was last loaded
WITH held AS (
    SELECT
        app_id,
        day,
        coalesce(bool_or(is_known) FILTER (WHERE table_name = 'core.livestream_sessions'), false) AS has_sessions,
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
        count(*) FILTER (WHERE session.err_message <> '') AS failed_sessions,
        count(DISTINCT session.livestream_id) AS livestreams_active,
        -- a session that never started was fed nothing; one that started and reports nothing is unknown
        sum(CASE WHEN session.started_at IS NULL THEN coalesce(session.ingest_seconds, 0) ELSE session.ingest_seconds END)
            AS ingest_seconds,
        sum(CASE WHEN session.started_at IS NULL THEN coalesce(session.viewer_seconds, 0) ELSE session.viewer_seconds END)
            AS viewer_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.meeting_id <> '') AS meeting_ingest_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.livestream_id IS NULL) AS unlisted_ingest_seconds,
        count(*) FILTER (
            WHERE session.started_at IS NOT NULL AND (session.ingest_seconds IS NULL OR session.viewer_seconds IS NULL)
        ) AS sessions_without_figures
    FROM core.livestream_sessions AS session
    LEFT JOIN core.livestreams AS stream
        ON session.app_id = stream.app_id AND session.livestream_id = stream.livestream_id
    GROUP BY session.app_id, session.day
)
SELECT
    held.app_id,
    held.day,
    CASE WHEN held.has_sessions THEN coalesce(sums.sessions, 0) END AS sessions,
    CASE WHEN held.has_sessions THEN coalesce(sums.failed_sessions, 0) END AS failed_sessions,
    CASE WHEN held.has_sessions THEN coalesce(sums.livestreams_active, 0) END AS livestreams_active,
    CASE WHEN sums.sessions > 0 THEN sums.ingest_seconds WHEN held.has_sessions THEN 0 END AS ingest_seconds,
    CASE WHEN sums.ingest_seconds IS NOT NULL OR held.has_sessions AND sums.sessions IS NULL
        THEN coalesce(sums.meeting_ingest_seconds, 0) END AS meeting_ingest_seconds,
    CASE WHEN sums.ingest_seconds IS NOT NULL OR held.has_sessions AND sums.sessions IS NULL
        THEN coalesce(sums.unlisted_ingest_seconds, 0) END AS unlisted_ingest_seconds,
    CASE WHEN held.has_sessions THEN coalesce(sums.sessions_without_figures, 0) END AS sessions_without_figures,
    CASE WHEN sums.sessions > 0 THEN sums.viewer_seconds WHEN held.has_sessions THEN 0 END AS viewer_seconds,
    sums.viewer_seconds / nullif(sums.ingest_seconds, 0) AS average_concurrent_viewers,
    meetings.session_count AS meeting_sessions,
    meetings.session_minutes AS meeting_minutes,
    recordings.recording_count AS recordings,
    recordings.recording_minutes,
    held.loaded_at
FROM held
LEFT JOIN sums ON sums.app_id = held.app_id AND sums.day = held.day
LEFT JOIN core.meeting_sessions_daily AS meetings ON meetings.app_id = held.app_id AND meetings.day = held.day
LEFT JOIN core.recordings_daily AS recordings ON recordings.app_id = held.app_id AND recordings.day = held.day

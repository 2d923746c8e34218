-- Usage of each app by month: the sums of its known days. A figure is NULL where no day of the month is known, and a sum
-- of fewer days than the month has while is_complete is false. Change against the month before: sql/examples.
-- grain: app_id, month
-- drawn: viewer_seconds
-- column: app_id (id): RealtimeKit app
-- column: month (first day of the month): UTC month; one row for each of which any fact table holds a day
-- column: sessions (count): livestream sessions
-- column: failed_sessions (count): of them, those with an error message
-- column: livestreams_active (count): livestreams with at least one session
-- column: ingest_seconds (seconds): time streams were fed in; sessions that started but report no figure add nothing
-- column: viewer_seconds (seconds): time watched, summed over viewers and sessions
-- column: average_concurrent_viewers (viewers): viewer_seconds / ingest_seconds; NULL where nothing was fed in
-- column: meeting_sessions (count): meeting sessions; NULL where their sum is beyond a BIGINT, as of recordings
-- column: meeting_minutes (minutes): minutes of meeting sessions
-- column: recordings (count): recordings
-- column: recording_minutes (minutes): minutes recorded
-- column: days_in_month (days): days of the month
-- column: days_known (days): days whose livestream sessions are loaded and known
-- column: meeting_days_known (days): days whose meeting figures are known
-- column: recording_days_known (days): days whose recording figures are known
-- column: is_complete (flag): sessions, meetings and recordings of every day are known, each loaded after the day's end
-- column: loaded_at (UTC time): when any of these figures was last loaded
WITH held AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(*) FILTER (WHERE table_name = 'core.livestream_sessions' AND is_known) AS days_known,
        count(*) FILTER (WHERE is_known AND loaded_at >= day + INTERVAL 1 DAY) AS settled,
        max(loaded_at) AS loaded_at
    FROM ops.days
    WHERE table_name IN ('core.livestream_sessions', 'core.meeting_sessions_daily', 'core.recordings_daily')
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
),
sessions AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(*) AS sessions,
        count(*) FILTER (WHERE err_message <> '') AS failed_sessions,
        count(DISTINCT livestream_id) AS livestreams_active,
        -- a session that never started was fed nothing; one that started and reports nothing is unknown
        sum(CASE WHEN started_at IS NULL THEN coalesce(ingest_seconds, 0) ELSE ingest_seconds END) AS ingest_seconds,
        sum(CASE WHEN started_at IS NULL THEN coalesce(viewer_seconds, 0) ELSE viewer_seconds END) AS viewer_seconds
    FROM core.livestream_sessions
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
),
meetings AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(session_count) AS days_known,
        sum(session_count) AS sessions,
        sum(session_minutes) AS minutes
    FROM core.meeting_sessions_daily
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
),
recordings AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(recording_count) AS days_known,
        sum(recording_count) AS recordings,
        sum(recording_minutes) AS minutes
    FROM core.recordings_daily
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
)
SELECT
    held.app_id,
    held.month,
    CASE WHEN held.days_known > 0 THEN coalesce(sessions.sessions, 0) END AS sessions,
    CASE WHEN held.days_known > 0 THEN coalesce(sessions.failed_sessions, 0) END AS failed_sessions,
    CASE WHEN held.days_known > 0 THEN coalesce(sessions.livestreams_active, 0) END AS livestreams_active,
    CASE WHEN sessions.sessions > 0 THEN sessions.ingest_seconds WHEN held.days_known > 0 THEN 0 END AS ingest_seconds,
    CASE WHEN sessions.sessions > 0 THEN sessions.viewer_seconds WHEN held.days_known > 0 THEN 0 END AS viewer_seconds,
    sessions.viewer_seconds / nullif(sessions.ingest_seconds, 0) AS average_concurrent_viewers,
    TRY_CAST(meetings.sessions AS BIGINT) AS meeting_sessions,
    meetings.minutes AS meeting_minutes,
    TRY_CAST(recordings.recordings AS BIGINT) AS recordings,
    recordings.minutes AS recording_minutes,
    day(last_day(held.month)) AS days_in_month,
    held.days_known,
    coalesce(meetings.days_known, 0) AS meeting_days_known,
    coalesce(recordings.days_known, 0) AS recording_days_known,
    held.settled = 3 * day(last_day(held.month)) AS is_complete,
    held.loaded_at
FROM held
LEFT JOIN sessions ON held.app_id = sessions.app_id AND held.month = sessions.month
LEFT JOIN meetings ON held.app_id = meetings.app_id AND held.month = meetings.month
LEFT JOIN recordings ON held.app_id = recordings.app_id AND held.month = recordings.month

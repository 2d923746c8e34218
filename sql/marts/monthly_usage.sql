-- Usage of each app by month: the sums of its known days. A figure is NULL where no day of the month is known, where none of
-- the sessions that started reports it, and where the sum is beyond a DOUBLE. It is the sum of fewer days than the month
-- has, or of figures that may still change, while is_complete is false. Change against the month before: sql/examples.
-- grain: app_id, month
-- drawn: viewer_seconds
-- column: app_id (id): RealtimeKit app
-- column: month (first day of the month): UTC month; one row for each of which any fact table holds a day
-- column: sessions (count): livestream sessions
-- column: failed_sessions (count): of them, those with an error message
-- column: livestreams_active (count): livestreams with at least one session
-- column: ingest_seconds (seconds): time streams were fed in; sessions that started but report no figure add nothing
-- column: viewer_seconds (seconds): time watched, summed over viewers and sessions
-- column: average_concurrent_viewers (viewers): viewer_seconds / ingest_seconds of sessions that report both; NULL without any
-- column: meeting_sessions (count): meeting sessions; NULL where their sum is beyond a BIGINT, as of recordings
-- column: meeting_minutes (minutes): minutes of meeting sessions
-- column: recordings (count): recordings
-- column: recording_minutes (minutes): minutes recorded
-- column: days_in_month (days): days of the month
-- column: days_known (days): days whose livestream sessions are loaded and known
-- column: meeting_days_known (days): days whose meeting figures are known
-- column: recording_days_known (days): days whose recording figures are known
-- column: provisional_sessions (count): sessions whose figures may still change, since they had not ended when last received
-- column: quarantined_records (count): session, meeting and recording records of the month in ops.quarantine
-- column: days_settled (days): days whose livestream sessions are known and final, see marts.daily_usage.is_settled
-- column: is_complete (flag): every day is known and final, of sessions, meetings and recordings: see marts.daily_usage
-- column: loaded_at (UTC time): when any of these figures was last loaded
WITH days AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(sessions) AS days_known,
        count(*) FILTER (WHERE is_settled) AS days_settled,
        count(*) FILTER (WHERE is_complete) AS days_complete,
        CAST(coalesce(sum(provisional_sessions), 0) AS BIGINT) AS provisional_sessions,
        CAST(sum(quarantined_records) AS BIGINT) AS quarantined_records,
        max(loaded_at) AS loaded_at
    FROM marts.daily_usage
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
),
sessions AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(*) AS sessions,
        count(*) FILTER (WHERE is_failed) AS failed_sessions,
        count(started_at) AS started_sessions,
        count(DISTINCT livestream_id) AS livestreams_active,
        -- as in marts.daily_usage
        nullif(sum(ingest_seconds) FILTER (WHERE started_at IS NOT NULL OR ingest_seconds > 0), 'inf') AS ingest_seconds,
        nullif(sum(viewer_seconds) FILTER (WHERE started_at IS NOT NULL OR viewer_seconds > 0), 'inf') AS viewer_seconds,
        nullif(sum(ingest_seconds) FILTER (WHERE viewer_seconds IS NOT NULL), 'inf') AS paired_ingest_seconds,
        nullif(sum(viewer_seconds) FILTER (WHERE ingest_seconds IS NOT NULL), 'inf') AS paired_viewer_seconds
    FROM core.livestream_sessions
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
),
meetings AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(session_count) AS days_known,
        sum(session_count) AS sessions,
        nullif(sum(session_minutes), 'inf') AS minutes
    FROM core.meeting_sessions_daily
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
),
recordings AS (
    SELECT
        app_id,
        CAST(date_trunc('month', day) AS DATE) AS month,
        count(recording_count) AS days_known,
        sum(recording_count) AS recordings,
        nullif(sum(recording_minutes), 'inf') AS minutes
    FROM core.recordings_daily
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
)
SELECT
    days.app_id,
    days.month,
    CASE WHEN days.days_known > 0 THEN coalesce(sessions.sessions, 0) END AS sessions,
    CASE WHEN days.days_known > 0 THEN coalesce(sessions.failed_sessions, 0) END AS failed_sessions,
    CASE WHEN days.days_known > 0 THEN coalesce(sessions.livestreams_active, 0) END AS livestreams_active,
    CASE
        WHEN sessions.started_sessions > 0 THEN sessions.ingest_seconds
        WHEN days.days_known > 0 THEN coalesce(sessions.ingest_seconds, 0)
    END AS ingest_seconds,
    CASE
        WHEN sessions.started_sessions > 0 THEN sessions.viewer_seconds
        WHEN days.days_known > 0 THEN coalesce(sessions.viewer_seconds, 0)
    END AS viewer_seconds,
    nullif(sessions.paired_viewer_seconds / nullif(sessions.paired_ingest_seconds, 0), 'inf') AS average_concurrent_viewers,
    TRY_CAST(meetings.sessions AS BIGINT) AS meeting_sessions,
    meetings.minutes AS meeting_minutes,
    TRY_CAST(recordings.recordings AS BIGINT) AS recordings,
    recordings.minutes AS recording_minutes,
    day(last_day(days.month)) AS days_in_month,
    days.days_known,
    coalesce(meetings.days_known, 0) AS meeting_days_known,
    coalesce(recordings.days_known, 0) AS recording_days_known,
    days.provisional_sessions,
    days.quarantined_records,
    days.days_settled,
    days.days_complete = day(last_day(days.month)) AS is_complete,
    days.loaded_at
FROM days
LEFT JOIN sessions ON days.app_id = sessions.app_id AND days.month = sessions.month
LEFT JOIN meetings ON days.app_id = meetings.app_id AND days.month = meetings.month
LEFT JOIN recordings ON days.app_id = recordings.app_id AND days.month = recordings.month

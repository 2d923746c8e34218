-- Usage of each app by month: the sums of its known days. A figure is NULL if no day of the month is known, if none of the
-- sessions that started reports it, or if the sum exceeds a DOUBLE. While is_complete is false, it is the sum of fewer days
-- than the month has, or of figures that may still change. For the change against the month before, see sql/examples.
-- grain: app_id, month
-- headline_metric: viewer_seconds
-- column: app_id (id): RealtimeKit app
-- column: month (first day of the month): UTC month; one row for each month of which any fact table has a day
-- column: sessions (count): livestream sessions
-- column: failed_sessions (count): sessions with an error message
-- column: livestreams_active (count): livestreams with at least one session
-- column: ingest_seconds (seconds): time streams were fed in; sessions that started but report no figure add nothing
-- column: viewer_seconds (seconds): time watched, summed over viewers and sessions
-- column: average_concurrent_viewers (viewers): viewer_seconds / ingest_seconds of sessions that report both; NULL if there are none
-- column: meeting_sessions (count): meeting sessions; NULL if their sum exceeds a BIGINT, as for recordings
-- column: meeting_minutes (minutes): minutes of meeting sessions
-- column: recordings (count): recordings
-- column: recording_minutes (minutes): minutes recorded
-- column: days_in_month (days): days of the month
-- column: days_known (days): days whose livestream sessions are loaded and known
-- column: meeting_days_known (days): days whose meeting figures are known
-- column: recording_days_known (days): days whose recording figures are known
-- column: provisional_sessions (count): sessions whose figures may still change: they had not ended when last fetched
-- column: quarantined_records (count): session, meeting and recording records of the month in ops.quarantine
-- column: days_settled (days): days whose livestream sessions are known and final, see marts.daily_usage.is_settled
-- column: is_complete (flag): sessions, meetings and recordings of every day are known and final, see marts.daily_usage
-- column: loaded_at (UTC time): latest load of any of these figures
WITH days AS (
    SELECT
        app_id,
        month_of(day) AS month,
        count(sessions) AS days_known,
        count(*) FILTER (WHERE is_settled) AS days_settled,
        count(*) FILTER (WHERE is_complete) AS days_complete,
        CAST(coalesce(sum(provisional_sessions), 0) AS BIGINT) AS provisional_sessions,
        CAST(sum(quarantined_records) AS BIGINT) AS quarantined_records,
        max(loaded_at) AS loaded_at
    FROM marts.daily_usage
    GROUP BY app_id, month_of(day)
),
sessions AS (
    SELECT
        app_id,
        month_of(day) AS month,
        count(*) AS sessions,
        count(*) FILTER (WHERE is_failed) AS failed_sessions,
        count(started_at) AS started_sessions,
        count(DISTINCT livestream_id) AS livestreams_active,
        sum_reported(ingest_seconds, started_at) AS ingest_seconds,
        sum_reported(viewer_seconds, started_at) AS viewer_seconds,
        finite(sum_paired(ingest_seconds, viewer_seconds)) AS paired_ingest_seconds,
        finite(sum_paired(viewer_seconds, ingest_seconds)) AS paired_viewer_seconds
    FROM core.livestream_sessions
    GROUP BY app_id, month_of(day)
),
meetings AS (
    SELECT
        app_id,
        month_of(day) AS month,
        count(session_count) AS days_known,
        sum(session_count) AS sessions,
        finite(sum(session_minutes)) AS minutes
    FROM core.meeting_sessions_daily
    GROUP BY app_id, month_of(day)
),
recordings AS (
    SELECT
        app_id,
        month_of(day) AS month,
        count(recording_count) AS days_known,
        sum(recording_count) AS recordings,
        finite(sum(recording_minutes)) AS minutes
    FROM core.recordings_daily
    GROUP BY app_id, month_of(day)
)
SELECT
    days.app_id,
    days.month,
    zero_if_known(sessions.sessions, days.days_known > 0) AS sessions,
    zero_if_known(sessions.failed_sessions, days.days_known > 0) AS failed_sessions,
    zero_if_known(sessions.livestreams_active, days.days_known > 0) AS livestreams_active,
    reported_figure(sessions.ingest_seconds, sessions.started_sessions, days.days_known > 0) AS ingest_seconds,
    reported_figure(sessions.viewer_seconds, sessions.started_sessions, days.days_known > 0) AS viewer_seconds,
    average_viewers(sessions.paired_viewer_seconds, sessions.paired_ingest_seconds) AS average_concurrent_viewers,
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

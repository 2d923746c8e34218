-- Each day of each app that any fact table holds, with its figures; NULL is unknown.
-- states: a letter for each fact table, in the order sessions, overall, meetings, recordings: k known, p known but
-- provisional (loaded before the day was over, or a session had not ended), u unknown (the source no longer remembers),
-- - not loaded.
WITH grid AS (
    SELECT
        days.app_id,
        days.day,
        days.table_name,
        CASE
            WHEN NOT days.is_known THEN 'u'
            WHEN days.loaded_at < days.day + INTERVAL 1 DAY
                OR days.table_name = 'core.livestream_sessions' AND usage.provisional_sessions > 0 THEN 'p'
            ELSE 'k'
        END AS state,
        days.loaded_at
    FROM ops.days AS days
    LEFT JOIN marts.daily_usage AS usage ON days.app_id = usage.app_id AND days.day = usage.day
    WHERE days.table_name <> 'core.live_observations' AND days.day >= $first
),
held AS (
    SELECT
        app_id,
        day,
        coalesce(max(state) FILTER (WHERE table_name = 'core.livestream_sessions'), '-')
        || coalesce(max(state) FILTER (WHERE table_name = 'core.livestream_analytics_daily'), '-')
        || coalesce(max(state) FILTER (WHERE table_name = 'core.meeting_sessions_daily'), '-')
        || coalesce(max(state) FILTER (WHERE table_name = 'core.recordings_daily'), '-') AS states,
        max(loaded_at) AS loaded_at
    FROM grid
    GROUP BY app_id, day
)
SELECT
    apps.app,
    date_diff('day', $first, held.day) AS day,
    held.states,
    epoch_ms(held.loaded_at) AS loaded_at,
    usage.sessions,
    usage.failed_sessions AS failed,
    round(usage.ingest_seconds, 3) AS ingest_seconds,
    round(usage.viewer_seconds, 3) AS viewer_seconds,
    -- of sessions that report both: what the average of viewers is of; 0 where none does
    CASE WHEN usage.sessions IS NOT NULL THEN round(coalesce(usage.paired_ingest_seconds, 0), 3) END AS paired_ingest,
    CASE WHEN usage.sessions IS NOT NULL THEN round(coalesce(usage.paired_viewer_seconds, 0), 3) END AS paired_viewer,
    usage.meeting_sessions,
    round(usage.meeting_minutes, 4) AS meeting_minutes,
    usage.recordings,
    round(usage.recording_minutes, 4) AS recording_minutes,
    reliability.never_started,
    reliability.unfinished_over_24h AS unfinished,
    concurrency.peak_concurrent_streams AS peak,
    epoch_ms(concurrency.peak_at) AS peak_at,
    usage.sessions_without_figures AS without_figures,
    round(usage.meeting_ingest_seconds, 3) AS exported_seconds,
    round(usage.ingest_seconds - usage.meeting_ingest_seconds - usage.unlisted_ingest_seconds, 3) + 0.0 AS direct_seconds,
    round(usage.unlisted_ingest_seconds, 3) AS unplaced_seconds
FROM held
INNER JOIN apps ON held.app_id = apps.app_id
LEFT JOIN marts.daily_usage AS usage ON held.app_id = usage.app_id AND held.day = usage.day
LEFT JOIN marts.session_reliability AS reliability ON held.app_id = reliability.app_id AND held.day = reliability.day
LEFT JOIN marts.stream_concurrency AS concurrency ON held.app_id = concurrency.app_id AND held.day = concurrency.day
ORDER BY apps.app, held.day

-- Each day of each app that any fact table holds, with its figures; NULL is unknown.
-- states: a letter for each fact table, in the order sessions, overall, meetings, recordings: k known, p known but
-- loaded before the day was over, u unknown (the source no longer remembers), - not loaded.
WITH grid AS (
    SELECT
        app_id,
        day,
        table_name,
        CASE WHEN NOT is_known THEN 'u' WHEN loaded_at < day + INTERVAL 1 DAY THEN 'p' ELSE 'k' END AS state,
        loaded_at
    FROM ops.days
    WHERE table_name <> 'core.live_observations'
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
),
sessions AS (
    SELECT
        session.app_id,
        session.day,
        count(*) FILTER (
            WHERE session.started_at IS NOT NULL AND (session.ingest_seconds IS NULL OR session.viewer_seconds IS NULL)
        ) AS without_figures,
        sum(session.ingest_seconds) FILTER (WHERE stream.meeting_id <> '') AS exported_seconds,
        sum(session.ingest_seconds) FILTER (WHERE coalesce(stream.meeting_id, '') = '') AS direct_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.livestream_id IS NULL) AS unplaced_seconds
    FROM core.livestream_sessions AS session
    LEFT JOIN core.livestreams AS stream
        ON session.app_id = stream.app_id AND session.livestream_id = stream.livestream_id
    GROUP BY session.app_id, session.day
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
    usage.meeting_sessions,
    round(usage.meeting_minutes, 4) AS meeting_minutes,
    usage.recordings,
    round(usage.recording_minutes, 4) AS recording_minutes,
    reliability.never_started,
    reliability.unfinished_over_24h AS unfinished,
    concurrency.peak_concurrent_streams AS peak,
    epoch_ms(concurrency.peak_at) AS peak_at,
    CASE WHEN usage.sessions IS NOT NULL THEN coalesce(sessions.without_figures, 0) END AS without_figures,
    CASE WHEN usage.ingest_seconds IS NOT NULL THEN round(coalesce(sessions.exported_seconds, 0), 3) END
        AS exported_seconds,
    CASE WHEN usage.ingest_seconds IS NOT NULL THEN round(coalesce(sessions.direct_seconds, 0), 3) END
        AS direct_seconds,
    CASE WHEN usage.ingest_seconds IS NOT NULL THEN round(coalesce(sessions.unplaced_seconds, 0), 3) END
        AS unplaced_seconds
FROM held
INNER JOIN apps ON held.app_id = apps.app_id
LEFT JOIN marts.daily_usage AS usage ON held.app_id = usage.app_id AND held.day = usage.day
LEFT JOIN marts.session_reliability AS reliability ON held.app_id = reliability.app_id AND held.day = reliability.day
LEFT JOIN marts.stream_concurrency AS concurrency ON held.app_id = concurrency.app_id AND held.day = concurrency.day
LEFT JOIN sessions ON held.app_id = sessions.app_id AND held.day = sessions.day
ORDER BY apps.app, held.day

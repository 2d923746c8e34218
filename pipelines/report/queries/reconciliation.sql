-- The API's own daily totals beside the sums of sessions, seconds.
SELECT
    apps.app,
    date_diff('day', $first, mart.day) AS day,
    mart.verdict,
    round(mart.overall_ingest_seconds, 1) AS overall_ingest,
    round(mart.sessions_ingest_seconds, 1) AS sessions_ingest,
    round(mart.overall_viewer_seconds, 1) AS overall_viewer,
    round(mart.sessions_viewer_seconds, 1) AS sessions_viewer,
    -- by the rule of the verdict: the API may count sessions that never started, or not
    CASE
        WHEN mart.overall_session_count > mart.sessions THEN mart.overall_session_count - mart.sessions
        WHEN mart.overall_session_count < mart.sessions_started THEN mart.overall_session_count - mart.sessions_started
        WHEN mart.overall_session_count IS NOT NULL THEN 0
    END AS sessions_more,
    -- older by more than the steps of one run are apart: then the API is not to blame for a difference
    coalesce(mart.overall_fetched_at < mart.sessions_fetched_at - INTERVAL 1 HOUR, false) AS is_older,
    mart.sessions_provisional AS on_air,
    mart.sessions_quarantined AS quarantined
FROM marts.reconciliation AS mart
INNER JOIN apps ON mart.app_id = apps.app_id
WHERE mart.day >= $first
ORDER BY apps.app, mart.day

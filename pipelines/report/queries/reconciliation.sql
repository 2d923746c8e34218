-- The API's daily totals beside the sums of the sessions, in seconds. missing_…: by how much the total exceeds the sessions
-- (verdict sessions_missing) or the sessions exceed the total (overall_behind); 0 for a measure that differs the other way.
SELECT
    apps.app,
    date_diff('day', $first, mart.day) AS day,
    mart.verdict,
    round(mart.overall_ingest_seconds, 1) AS overall_ingest,
    round(mart.sessions_ingest_seconds, 1) AS sessions_ingest,
    round(mart.ingest_seconds_difference, 1) + 0.0 AS ingest_difference,
    round(mart.overall_viewer_seconds, 1) AS overall_viewer,
    round(mart.sessions_viewer_seconds, 1) AS sessions_viewer,
    round(mart.viewer_seconds_difference, 1) + 0.0 AS viewer_difference,
    CASE mart.verdict
        WHEN 'sessions_missing' THEN greatest(round(mart.ingest_seconds_difference, 1), 0)
        WHEN 'overall_behind' THEN greatest(round(-mart.ingest_seconds_difference, 1), 0)
    END AS missing_ingest,
    CASE mart.verdict
        WHEN 'sessions_missing' THEN greatest(round(mart.viewer_seconds_difference, 1), 0)
        WHEN 'overall_behind' THEN greatest(round(-mart.viewer_seconds_difference, 1), 0)
    END AS missing_viewer,
    -- by the rule of the verdict: the API may or may not count sessions that never started
    CASE mart.verdict
        WHEN 'sessions_missing' THEN greatest(coalesce(mart.overall_session_count - mart.sessions, 0), 0)
        WHEN 'overall_behind' THEN greatest(coalesce(mart.sessions_started - mart.overall_session_count, 0), 0)
    END AS missing_sessions,
    -- by more than the steps of one run are apart: then the API did not cause the difference
    coalesce(mart.overall_fetched_at < mart.sessions_fetched_at - INTERVAL 1 HOUR, false) AS is_older,
    mart.sessions_provisional AS provisional,
    mart.sessions_quarantined AS quarantined
FROM marts.reconciliation AS mart
INNER JOIN apps ON mart.app_id = apps.app_id
WHERE mart.day >= $first
ORDER BY apps.app, mart.day

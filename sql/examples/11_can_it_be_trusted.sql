-- Which days should not be quoted yet: unknown, unsettled, with quarantined records, or different from the API's own totals?
-- param: since (YYYY-MM-DD) = NULL: the first day to show, by default the first loaded
SELECT
    day,
    app_id,
    verdict,
    round(viewer_seconds_difference / 3600, 2) + 0.0 AS viewer_hours_difference,
    round(ingest_seconds_difference / 3600, 2) + 0.0 AS ingest_hours_difference,
    overall_session_count - sessions AS sessions_difference,
    sessions_provisional,
    sessions_quarantined,
    sessions_loaded_at
FROM marts.reconciliation
WHERE (verdict <> 'match' OR sessions_quarantined > 0) AND day >= coalesce(CAST($since AS DATE), day)
ORDER BY day DESC, app_id

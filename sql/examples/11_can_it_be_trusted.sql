-- Which days should not be quoted yet: unknown, unsettled, quarantined, or at odds with the API's own totals?
SELECT
    day,
    app_id,
    verdict,
    round(viewer_seconds_difference / 3600, 2) AS viewer_hours_difference,
    round(ingest_seconds_difference / 3600, 2) AS ingest_hours_difference,
    sessions_on_air,
    sessions_quarantined,
    sessions_loaded_at
FROM marts.reconciliation
WHERE verdict <> 'match' OR sessions_quarantined > 0
ORDER BY day DESC, app_id

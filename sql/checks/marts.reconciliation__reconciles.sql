-- Loaded sessions and the API's own daily totals agree on every settled day. sessions_missing: sessions were not returned or
-- are quarantined, `livehouse backfill DAY DAY --full` fetches all of them; overall_behind: the API's total is late or lacks
-- some. Days that are unsettled or unknown are not compared.
-- severity: warn
SELECT
    app_id,
    day,
    verdict,
    overall_ingest_seconds,
    sessions_ingest_seconds,
    overall_viewer_seconds,
    sessions_viewer_seconds,
    sessions_quarantined
FROM marts.reconciliation
WHERE verdict IN ('sessions_missing', 'overall_behind')
ORDER BY day DESC, app_id

-- Which livestreams of a month went live without any viewer, and how many hours did they stream?
-- param: month (YYYY-MM) = NULL: the month to show, by default the latest
SELECT
    app_id,
    name,
    sessions,
    round(ingest_seconds / 3600, 2) AS ingest_hours,
    last_session_at,
    livestream_id
FROM marts.livestream_performance
WHERE is_never_watched AND month = coalesce(CAST($month || '-01' AS DATE), (SELECT max(month) FROM marts.livestream_performance))
ORDER BY ingest_seconds DESC, app_id, livestream_id

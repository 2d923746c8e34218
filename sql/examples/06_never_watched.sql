-- Which livestreams went live in the latest month and nobody watched, and how many hours were streamed for no one?
SELECT
    app_id,
    name,
    sessions,
    round(ingest_seconds / 3600, 2) AS ingest_hours,
    last_session_at,
    livestream_id
FROM marts.livestream_performance
WHERE is_never_watched AND month = (SELECT max(month) FROM marts.livestream_performance)
ORDER BY ingest_seconds DESC, app_id, livestream_id

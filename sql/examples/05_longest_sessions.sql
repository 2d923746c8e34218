-- Which sessions were on air longest? Those still running count until they were last fetched.
-- param: rows (count) = 20: the number of sessions to show
SELECT
    sessions.app_id,
    livestreams.name,
    round(
        epoch(CASE WHEN sessions.is_live THEN sessions.fetched_at ELSE sessions.ended_at END - sessions.started_at) / 3600, 2
    ) AS hours_on_air,
    sessions.started_at,
    sessions.stopped_at,
    round(sessions.ingest_seconds / 3600, 2) AS ingest_hours,
    sessions.is_live,
    sessions.session_id
FROM core.livestream_sessions AS sessions
LEFT JOIN core.livestreams AS livestreams
    ON sessions.app_id = livestreams.app_id AND sessions.livestream_id = livestreams.livestream_id
WHERE sessions.started_at IS NOT NULL
ORDER BY hours_on_air DESC NULLS LAST, sessions.session_id
LIMIT CAST($rows AS BIGINT)

-- Which sessions failed after going live in the last days loaded, how long had they run, and why?
-- param: days (count) = 28: the number of days, up to the last day loaded
SELECT
    sessions.started_at,
    sessions.app_id,
    livestreams.name,
    sessions.err_message,
    round(sessions.ingest_seconds / 60, 1) AS ingest_minutes,
    nullif(round(sessions.viewer_seconds / nullif(sessions.ingest_seconds, 0), 1), 'inf') AS average_concurrent_viewers,
    sessions.livestream_id,
    sessions.session_id
FROM core.livestream_sessions AS sessions
LEFT JOIN core.livestreams AS livestreams
    ON sessions.app_id = livestreams.app_id AND sessions.livestream_id = livestreams.livestream_id
WHERE
    sessions.is_failed
    AND sessions.started_at IS NOT NULL
    AND sessions.day > (SELECT max(day) - CAST($days AS INTEGER) FROM ops.days WHERE table_name = 'core.livestream_sessions')
ORDER BY sessions.viewer_seconds DESC NULLS LAST, sessions.session_id

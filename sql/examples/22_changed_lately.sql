-- Which days have sessions that the API added or changed in the hours before the last load, and how many?
-- param: hours (count) = 24: the number of hours before the last load
WITH span AS (
    SELECT max(loaded_at) - to_hours(CAST($hours AS INTEGER)) AS since
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
)
SELECT
    sessions.day,
    sessions.app_id,
    count(*) FILTER (WHERE sessions.created_at >= span.since) AS sessions_added,
    count(*) FILTER (WHERE sessions.created_at IS NULL OR sessions.created_at < span.since) AS sessions_changed,
    nullif(round(sum(sessions.viewer_seconds) / 3600, 1), 'inf') AS viewer_hours,
    max(sessions.updated_at) AS last_changed_at
FROM core.livestream_sessions AS sessions
INNER JOIN span ON sessions.updated_at >= span.since OR sessions.created_at >= span.since
GROUP BY sessions.day, sessions.app_id
ORDER BY sessions.day DESC, sessions.app_id

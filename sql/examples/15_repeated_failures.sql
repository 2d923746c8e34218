-- Which livestreams failed repeatedly in the last days loaded, and have they worked again since?
-- param: days (count) = 28: the number of days, up to the last day loaded
-- param: failures (count) = 2: failed sessions from which a livestream is listed
WITH sessions AS (
    SELECT *, coalesce(created_at, invoked_at, started_at) AS begun_at
    FROM core.livestream_sessions
    WHERE
        day > (SELECT max(day) FROM ops.days WHERE table_name = 'core.livestream_sessions') - CAST($days AS INTEGER)
),
livestreams AS (
    SELECT
        app_id,
        livestream_id,
        count(*) AS sessions,
        count(*) FILTER (WHERE is_failed) AS failed_sessions,
        -- a session that never went live proves nothing
        max(begun_at) FILTER (WHERE NOT is_failed AND started_at IS NOT NULL) AS last_success_at,
        max(begun_at) FILTER (WHERE is_failed) AS last_failure_at,
        arg_max(err_message, begun_at) FILTER (WHERE is_failed) AS last_message
    FROM sessions
    GROUP BY app_id, livestream_id
)
SELECT
    livestreams.app_id,
    livestreams.livestream_id,
    names.name,
    livestreams.sessions,
    livestreams.failed_sessions,
    round(100 * livestreams.failed_sessions / livestreams.sessions, 1) AS failed_percent,
    coalesce(livestreams.last_success_at > livestreams.last_failure_at, false) AS works_again,
    livestreams.last_failure_at,
    livestreams.last_message
FROM livestreams
LEFT JOIN core.livestreams AS names
    ON livestreams.app_id = names.app_id AND livestreams.livestream_id = names.livestream_id
WHERE livestreams.failed_sessions >= CAST($failures AS BIGINT)
ORDER BY works_again, livestreams.failed_sessions DESC, livestreams.app_id, livestreams.livestream_id

-- core.livestream_sessions has one row per session: a duplicate would be counted twice. Sessions of days loaded within seven
-- days before the last load are compared with all sessions, so that the check does not get slower with the history.
-- severity: block
WITH earlier AS (
    SELECT app_id, run_id
    FROM ops.loads
    WHERE
        table_name = 'core.livestream_sessions'
        AND finished_at < (
            SELECT max(finished_at) - INTERVAL 7 DAY FROM ops.loads WHERE table_name = 'core.livestream_sessions'
        )
),
fresh AS (
    SELECT days.app_id, days.day
    FROM ops.days AS days
    ANTI JOIN earlier ON days.app_id = earlier.app_id AND days.run_id = earlier.run_id
    WHERE days.table_name = 'core.livestream_sessions'
),
-- compare hashes first, since ids are long, then the ids of equal hashes
duplicate_hashes AS (
    SELECT hash(app_id, session_id) AS key_hash
    FROM core.livestream_sessions
    WHERE
        hash(app_id, session_id) IN (
            SELECT hash(sessions.app_id, sessions.session_id)
            FROM core.livestream_sessions AS sessions
            INNER JOIN fresh ON sessions.app_id = fresh.app_id AND sessions.day = fresh.day
        )
    GROUP BY key_hash
    HAVING count(*) > 1
)
SELECT app_id, session_id, count(*) AS copies, min(day) AS first_day, max(day) AS last_day
FROM core.livestream_sessions
WHERE hash(app_id, session_id) IN (SELECT key_hash FROM duplicate_hashes)
GROUP BY app_id, session_id
HAVING count(*) > 1
ORDER BY app_id, session_id

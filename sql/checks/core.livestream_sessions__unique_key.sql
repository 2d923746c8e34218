-- No session stands twice in core.livestream_sessions: a figure counted twice is worse than one missing. Compared are the
-- sessions of the days loaded in the last seven days of loading with all that are held, so that the history costs little.
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
    SELECT held.app_id, held.day
    FROM ops.days AS held
    ANTI JOIN earlier ON held.app_id = earlier.app_id AND held.run_id = earlier.run_id
    WHERE held.table_name = 'core.livestream_sessions'
),
-- by hash, since ids are long: what is suspected is then looked at as it is
suspects AS (
    SELECT hash(app_id, session_id) AS suspect
    FROM core.livestream_sessions
    WHERE
        hash(app_id, session_id) IN (
            SELECT hash(sessions.app_id, sessions.session_id)
            FROM core.livestream_sessions AS sessions
            INNER JOIN fresh ON sessions.app_id = fresh.app_id AND sessions.day = fresh.day
        )
    GROUP BY suspect
    HAVING count(*) > 1
)
SELECT app_id, session_id, count(*) AS copies, min(day) AS first_day, max(day) AS last_day
FROM core.livestream_sessions
WHERE hash(app_id, session_id) IN (SELECT suspect FROM suspects)
GROUP BY app_id, session_id
HAVING count(*) > 1
ORDER BY app_id, session_id

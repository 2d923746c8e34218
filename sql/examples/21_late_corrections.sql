-- How long after their stop did the API still change sessions, in the last days loaded?
-- param: days (count) = 28: the number of days, up to the last day loaded
WITH changes AS (
    SELECT app_id, viewer_seconds, updated_at - stopped_at AS lateness
    FROM core.livestream_sessions
    WHERE
        updated_at >= stopped_at -- without a stop, the end of a failed session is its last change
        AND day > (SELECT max(day) FROM ops.days WHERE table_name = 'core.livestream_sessions') - CAST($days AS INTEGER)
)
SELECT
    app_id,
    CASE
        WHEN lateness <= INTERVAL 1 HOUR THEN '1: within an hour'
        WHEN lateness <= INTERVAL 1 DAY THEN '2: within a day'
        WHEN lateness <= INTERVAL 7 DAY THEN '3: within a week'
        ELSE '4: later'
    END AS last_changed,
    count(*) AS sessions,
    nullif(round(sum(viewer_seconds) / 3600, 1), 'inf') AS viewer_hours,
    max(lateness) AS latest
FROM changes
GROUP BY app_id, last_changed
ORDER BY app_id, last_changed

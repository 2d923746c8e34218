-- What failed most in the last days loaded, before and after going live, and on how many livestreams?
-- param: days (count) = 28: the number of days, up to the last day loaded
SELECT
    err_message,
    count(*) AS sessions,
    count(*) FILTER (WHERE started_at IS NULL) AS before_going_live,
    count(*) FILTER (WHERE started_at IS NOT NULL) AS after_going_live,
    count(DISTINCT (app_id, livestream_id)) AS livestreams,
    min(day) AS first_day,
    max(day) AS last_day
FROM core.livestream_sessions
WHERE
    is_failed
    AND day > (SELECT max(day) - CAST($days AS INTEGER) FROM ops.days WHERE table_name = 'core.livestream_sessions')
GROUP BY err_message
ORDER BY sessions DESC, err_message

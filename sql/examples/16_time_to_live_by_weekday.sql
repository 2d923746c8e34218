-- On which weekdays do streams take longest to go live, in the last weeks loaded?
-- param: weeks (count) = 12: the number of weeks, up to the last day loaded
SELECT
    app_id,
    dayname(day) AS weekday,
    count(*) AS sessions_live,
    round(quantile_cont(time_to_live_seconds, 0.5), 2) AS p50_seconds,
    round(quantile_cont(time_to_live_seconds, 0.95), 2) AS p95_seconds
FROM core.livestream_sessions
WHERE
    time_to_live_seconds IS NOT NULL
    AND day
    > (SELECT max(day) FROM ops.days WHERE table_name = 'core.livestream_sessions') - 7 * CAST($weeks AS INTEGER)
GROUP BY app_id, weekday, isodow(day)
ORDER BY app_id, isodow(day)

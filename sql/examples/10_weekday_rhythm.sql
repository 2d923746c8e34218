-- On which weekdays is most streamed and watched, on average over the last weeks loaded?
-- param: weeks (count) = 8: the number of weeks, up to the last day loaded
SELECT
    app_id,
    dayname(day) AS weekday,
    count(sessions) AS days_known,
    round(avg(sessions), 1) AS sessions_a_day,
    nullif(round(avg(ingest_seconds) / 3600, 1), 'inf') AS ingest_hours_a_day,
    nullif(round(avg(viewer_seconds) / 3600, 1), 'inf') AS viewer_hours_a_day
FROM marts.daily_usage
WHERE day > (SELECT max(day) - 7 * CAST($weeks AS INTEGER) FROM marts.daily_usage)
GROUP BY app_id, weekday, isodow(day)
ORDER BY app_id, isodow(day)

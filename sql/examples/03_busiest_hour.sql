-- At which hours of the week (UTC) are most streams on air, over the last four weeks loaded?
WITH span AS (
    SELECT max(day) - 27 AS first_day, max(day) AS last_day
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
),
spans AS (
    SELECT
        app_id,
        greatest(started_at, span.first_day) AS begins,
        least(coalesce(stopped_at, CASE WHEN is_live THEN fetched_at ELSE updated_at END), span.last_day + 1) AS ends
    FROM core.livestream_sessions
    CROSS JOIN span
    WHERE started_at < span.last_day + 1 AND ends > begins
),
hours AS (
    SELECT *, unnest(range(date_trunc('hour', begins), ends, INTERVAL 1 HOUR)) AS hour_begins
    FROM spans
)
SELECT
    app_id,
    dayname(hour_begins) AS weekday,
    hour(hour_begins) AS hour_of_day,
    -- each hour of the week comes four times in four weeks
    round(sum(epoch(least(ends, hour_begins + INTERVAL 1 HOUR) - greatest(begins, hour_begins))) / 3600 / 4, 2)
        AS average_concurrent_streams
FROM hours
GROUP BY app_id, weekday, hour_of_day
ORDER BY average_concurrent_streams DESC, app_id, weekday, hour_of_day
LIMIT 20

-- At which hours of the week (UTC) are most streams on air, on average over the last weeks loaded?
-- param: weeks (count) = 4: the number of weeks, up to the last day loaded
-- param: rows (count) = 20: the number of hours to show
WITH span AS (
    SELECT max(day) + 1 - 7 * CAST($weeks AS INTEGER) AS first_day
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
),
-- each hour of the days whose sessions are known, up to the time they were loaded
known AS (
    SELECT days.app_id, unnest(range(days.day, least(days.day + INTERVAL 1 DAY, days.loaded_at), INTERVAL 1 HOUR)) AS hour_begins
    FROM ops.days AS days
    INNER JOIN span ON days.day >= span.first_day
    WHERE days.table_name = 'core.livestream_sessions' AND days.is_known
),
on_air AS (
    SELECT app_id, started_at AS begins, CASE WHEN is_live THEN fetched_at ELSE ended_at END AS ends
    FROM core.livestream_sessions
    CROSS JOIN span
    WHERE ends > started_at AND ends > span.first_day
),
streamed AS (
    SELECT
        known.app_id,
        known.hour_begins,
        sum(epoch(least(on_air.ends, known.hour_begins + INTERVAL 1 HOUR) - greatest(on_air.begins, known.hour_begins))) / 3600
            AS stream_hours
    FROM known
    INNER JOIN on_air
        ON known.app_id = on_air.app_id
        AND on_air.begins < known.hour_begins + INTERVAL 1 HOUR
        AND on_air.ends > known.hour_begins
    GROUP BY known.app_id, known.hour_begins
)
SELECT
    known.app_id,
    dayname(known.hour_begins) AS weekday,
    hour(known.hour_begins) AS hour_of_day,
    -- divided by the number of times that hour of the week is known
    round(sum(streamed.stream_hours) / count(*), 2) AS average_concurrent_streams
FROM known
LEFT JOIN streamed ON known.app_id = streamed.app_id AND known.hour_begins = streamed.hour_begins
GROUP BY known.app_id, weekday, hour_of_day
HAVING sum(streamed.stream_hours) > 0
ORDER BY average_concurrent_streams DESC, known.app_id, weekday, hour_of_day
LIMIT CAST($rows AS BIGINT)

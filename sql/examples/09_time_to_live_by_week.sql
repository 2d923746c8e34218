-- How long did streams take from invocation to going live in each of the last weeks, and is it getting worse?
-- param: weeks (count) = 12: the number of weeks, the current one included
WITH weeks AS (
    SELECT
        CAST(date_trunc('week', day) AS DATE) AS week,
        app_id,
        count(*) AS sessions_live,
        quantile_cont(time_to_live_seconds, 0.5) AS p50_seconds,
        quantile_cont(time_to_live_seconds, 0.95) AS p95_seconds
    FROM core.livestream_sessions
    WHERE
        time_to_live_seconds IS NOT NULL
        AND day >= (
            SELECT date_trunc('week', max(day)) - to_weeks(CAST($weeks AS INTEGER) - 1)
            FROM ops.days
            WHERE table_name = 'core.livestream_sessions'
        )
    GROUP BY week, app_id
)
SELECT
    week,
    app_id,
    sessions_live,
    round(p50_seconds, 2) AS p50_seconds,
    round(p95_seconds, 2) AS p95_seconds,
    -- against the week before; NULL if that has no session
    CASE
        WHEN lag(week) OVER by_week = week - 7 THEN round(p95_seconds - lag(p95_seconds) OVER by_week, 2) + 0.0
    END AS p95_seconds_more
FROM weeks
WINDOW by_week AS (PARTITION BY app_id ORDER BY week)
ORDER BY week DESC, app_id

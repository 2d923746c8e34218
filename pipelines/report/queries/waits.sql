-- Times to live (started - invoked, in milliseconds) of each app and day, ascending, for percentiles over any days and apps.
-- A negative number repeats the number before it that many more times. Unless $is_exact, each is rounded to the nearest of
-- the steps 2 % apart of marts.session_reliability, so that years of a large account still fit into a page.
WITH exact AS (
    SELECT app_id, day, CAST(round(time_to_live_seconds * 1000) AS BIGINT) AS wait, count(*) AS sessions
    FROM core.livestream_sessions
    WHERE $is_exact AND day >= $first AND time_to_live_seconds IS NOT NULL
    GROUP BY app_id, day, wait
),
stepped AS (
    SELECT app_id, day, unnest(map_entries(time_to_live_histogram), recursive := true)
    FROM marts.session_reliability
    WHERE NOT $is_exact AND day >= $first
),
counted AS (
    SELECT app_id, day, wait, sessions
    FROM exact
    UNION ALL
    SELECT app_id, day, key AS wait, CAST(value AS BIGINT) AS sessions
    FROM stepped
)
SELECT
    apps.app,
    date_diff('day', $first, counted.day) AS day,
    flatten(list(
        CASE WHEN counted.sessions = 1 THEN [counted.wait] ELSE [counted.wait, 1 - counted.sessions] END
        ORDER BY counted.wait
    )) AS waits
FROM counted
INNER JOIN apps ON counted.app_id = apps.app_id
GROUP BY apps.app, counted.day
ORDER BY apps.app, counted.day

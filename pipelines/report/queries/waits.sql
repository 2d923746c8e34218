-- Times to live (started - invoked, ms) of each app and day, rising: percentiles of a range are taken of all of them.
-- A negative number repeats the one before it that many times more. Of more than $exact values in all, each is rounded
-- to the nearest of steps 2 % apart, so that a year of a large account still fits in a page.
WITH waits AS (
    SELECT app_id, day, CAST(round(greatest(epoch(started_at - invoked_at), 0) * 1000) AS BIGINT) AS wait
    FROM core.livestream_sessions
    WHERE started_at IS NOT NULL AND invoked_at IS NOT NULL
),
stepped AS (
    SELECT
        app_id,
        day,
        CASE
            WHEN wait = 0 OR (SELECT count(*) FROM waits) <= $exact THEN wait
            ELSE CAST(round(exp(round(ln(wait) / ln(1.02)) * ln(1.02))) AS BIGINT)
        END AS wait
    FROM waits
),
counted AS (
    SELECT app_id, day, wait, count(*) AS sessions
    FROM stepped
    GROUP BY app_id, day, wait
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

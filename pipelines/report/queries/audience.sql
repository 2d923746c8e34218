-- Most viewers at one time of each observed day, by app, and for all apps together (app -1): the peaks of apps do not add up
-- to it. known is 1: a day that was not observed has no row.
WITH peaks AS (
    SELECT apps.app, day, peak_concurrent_viewers AS peak, viewers_peak_at AS peak_at
    FROM marts.stream_concurrency AS mart
    INNER JOIN apps ON mart.app_id = apps.app_id
    UNION ALL
    SELECT DISTINCT -1 AS app, day, account_peak_concurrent_viewers AS peak, account_viewers_peak_at AS peak_at
    FROM marts.stream_concurrency
)
SELECT
    app,
    date_diff('day', $first, day) AS day,
    round(peak, 3) AS peak,
    epoch_ms(peak_at) AS peak_at,
    1 AS known
FROM peaks
WHERE peaks.day >= $first AND peak IS NOT NULL
ORDER BY app, peaks.day

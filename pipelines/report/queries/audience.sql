-- Most viewers at once of each observed day, by app, and of all apps together (app -1): peaks of apps do not add up to it.
WITH observed AS (
    SELECT apps.app, day, peak_concurrent_viewers AS viewers, viewers_peak_at AS peak_at
    FROM marts.stream_concurrency AS mart
    INNER JOIN apps ON mart.app_id = apps.app_id
    UNION ALL
    SELECT DISTINCT -1 AS app, day, account_peak_concurrent_viewers AS viewers, account_viewers_peak_at AS peak_at
    FROM marts.stream_concurrency
)
SELECT
    app,
    date_diff('day', $first, day) AS day,
    round(viewers, 3) AS viewers,
    epoch_ms(peak_at) AS peak_at
FROM observed
WHERE observed.day >= $first AND viewers IS NOT NULL
ORDER BY app, observed.day

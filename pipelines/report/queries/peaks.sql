-- Most streams on air at one moment of each day, by app, and for all apps together (app -1): the peaks of apps do not add up
-- to it. known: number of apps whose sessions of the day are known; a peak of only some of the apps is a lower bound.
WITH peaks AS (
    SELECT apps.app, mart.day, mart.peak_concurrent_streams AS peak, mart.peak_at, 1 AS known
    FROM marts.stream_concurrency AS mart
    INNER JOIN apps ON mart.app_id = apps.app_id
    UNION ALL
    SELECT DISTINCT
        -1 AS app,
        day,
        account_peak_concurrent_streams AS peak,
        account_peak_at AS peak_at,
        account_apps AS known
    FROM marts.stream_concurrency
)
SELECT
    app,
    date_diff('day', $first, day) AS day,
    peak,
    epoch_ms(peak_at) AS peak_at,
    known
FROM peaks
WHERE peaks.day >= $first AND peak IS NOT NULL
ORDER BY app, peaks.day

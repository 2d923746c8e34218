-- Most streams on air at one moment of each day, all apps together: the peaks of apps do not add up to it.
SELECT
    date_diff('day', $first, day) AS day,
    any_value(account_peak_concurrent_streams) AS peak,
    epoch_ms(any_value(account_peak_at)) AS peak_at
FROM marts.stream_concurrency
WHERE day >= $first AND account_peak_concurrent_streams IS NOT NULL
GROUP BY stream_concurrency.day
ORDER BY stream_concurrency.day

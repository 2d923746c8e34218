-- Most viewers of a livestream at one time of each observed day, of the $stream_peaks newest.
SELECT
    apps.app,
    mart.livestream_id,
    date_diff('day', $first, mart.day) AS day,
    round(max(mart.average_concurrent_viewers), 3) AS peak,
    epoch_ms(arg_max(mart.minute, mart.average_concurrent_viewers)) AS peak_at
FROM marts.live_audience AS mart
INNER JOIN apps ON mart.app_id = apps.app_id
WHERE mart.day >= $first AND mart.average_concurrent_viewers IS NOT NULL
GROUP BY apps.app, mart.livestream_id, mart.day
ORDER BY mart.day DESC, apps.app, mart.livestream_id
LIMIT $stream_peaks

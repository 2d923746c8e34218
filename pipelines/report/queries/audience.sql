-- Most viewers at once of each observed day, by app, and of all apps together (app -1): peaks of apps do not add up to it.
-- As in marts.stream_concurrency: averages of a minute, or of an hour where any stream is known by the hour only.
WITH observed AS (
    SELECT
        apps.app,
        audience.day,
        audience.viewer_seconds,
        bool_or(audience.span_minutes > 1) OVER (PARTITION BY apps.app, date_trunc('hour', audience.minute)) AS own_hour,
        bool_or(audience.span_minutes > 1) OVER (PARTITION BY date_trunc('hour', audience.minute)) AS any_hour,
        audience.minute
    FROM marts.live_audience AS audience
    INNER JOIN apps ON audience.app_id = apps.app_id
),
placed AS (
    SELECT app, day, viewer_seconds, own_hour AS is_by_hour, minute
    FROM observed
    UNION ALL
    SELECT -1 AS app, day, viewer_seconds, any_hour AS is_by_hour, minute
    FROM observed
),
audiences AS (
    SELECT
        app,
        day,
        CASE WHEN is_by_hour THEN date_trunc('hour', minute) ELSE minute END AS moment,
        sum(viewer_seconds) / CASE WHEN any_value(is_by_hour) THEN 3600 ELSE 60 END AS viewers
    FROM placed
    GROUP BY app, day, moment
)
SELECT
    app,
    date_diff('day', $first, day) AS day,
    round(max(viewers), 3) AS viewers,
    epoch_ms(arg_min(moment, (-viewers, moment))) AS peak_at
FROM audiences
GROUP BY app, audiences.day
ORDER BY app, audiences.day

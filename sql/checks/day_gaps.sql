-- {table} has no gap between the first and the last day of an app. `livehouse backfill` loads missing days.
-- tables: facts
-- severity: warn
SELECT spans.app_id, CAST(spans.day AS DATE) AS missing_day
FROM (
    SELECT app_id, unnest(range(min(day), max(day) + 1, INTERVAL 1 DAY)) AS day
    FROM ops.days
    WHERE table_name = '{table}'
    GROUP BY app_id
) AS spans
ANTI JOIN ops.days AS days
    ON days.table_name = '{table}' AND days.app_id = spans.app_id AND days.day = spans.day
ORDER BY spans.app_id, missing_day

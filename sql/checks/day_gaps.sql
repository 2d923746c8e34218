-- No day between the first and the last that {table} holds of an app was left out: `livehouse backfill` loads it.
-- tables: facts
-- severity: warn
SELECT spans.app_id, CAST(spans.day AS DATE) AS missing_day
FROM (
    SELECT app_id, unnest(range(min(day), max(day) + 1, INTERVAL 1 DAY)) AS day
    FROM ops.days
    WHERE table_name = '{table}'
    GROUP BY app_id
) AS spans
ANTI JOIN ops.days AS held
    ON held.table_name = '{table}' AND held.app_id = spans.app_id AND held.day = spans.day
ORDER BY spans.app_id, missing_day

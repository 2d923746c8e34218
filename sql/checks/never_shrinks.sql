-- For the days of {table} that the latest run loaded, the source returned no less than before. Where it returned less, the
-- older figures are kept; `livehouse backfill DAY DAY --full --allow-shrink` replaces them.
-- tables: facts
-- severity: warn
WITH latest AS (
    SELECT
        days.app_id,
        arg_max(
            days.run_id, (coalesce(days.arrival, 0), coalesce(loads.finished_at, days.loaded_at), days.run_id)
        ) AS run_id
    FROM ops.days AS days
    LEFT JOIN ops.loads AS loads
        ON days.run_id = loads.run_id AND days.table_name = loads.table_name AND days.app_id = loads.app_id
    WHERE days.table_name = '{table}'
    GROUP BY days.app_id
)
SELECT shrinks.app_id, shrinks.day, shrinks.record_id, shrinks.reason, shrinks.fetched_at, latest.run_id
FROM ops.shrinks AS shrinks
INNER JOIN ops.days AS days
    ON shrinks.table_name = days.table_name AND shrinks.app_id = days.app_id AND shrinks.day = days.day
INNER JOIN latest ON days.app_id = latest.app_id AND days.run_id = latest.run_id
WHERE shrinks.table_name = '{table}'
ORDER BY shrinks.app_id, shrinks.day, shrinks.record_id

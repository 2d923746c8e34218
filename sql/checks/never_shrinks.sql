-- Of the days that the latest run loaded of {table}, the source said no less than before. Where it did, the
-- older figures stand; `livehouse backfill DAY DAY --full --allow-shrink` takes the new ones.
-- tables: facts
-- severity: warn
WITH latest AS (
    SELECT
        held.app_id,
        arg_max(
            held.run_id, (coalesce(held.arrival, 0), coalesce(loads.finished_at, held.loaded_at), held.run_id)
        ) AS run_id
    FROM ops.days AS held
    LEFT JOIN ops.loads AS loads
        ON held.run_id = loads.run_id AND held.table_name = loads.table_name AND held.app_id = loads.app_id
    WHERE held.table_name = '{table}'
    GROUP BY held.app_id
)
SELECT shrinks.app_id, shrinks.day, shrinks.record_id, shrinks.reason, shrinks.fetched_at, latest.run_id
FROM ops.shrinks AS shrinks
INNER JOIN ops.days AS held
    ON shrinks.table_name = held.table_name AND shrinks.app_id = held.app_id AND shrinks.day = held.day
INNER JOIN latest ON held.app_id = latest.app_id AND held.run_id = latest.run_id
WHERE shrinks.table_name = '{table}'
ORDER BY shrinks.app_id, shrinks.day, shrinks.record_id

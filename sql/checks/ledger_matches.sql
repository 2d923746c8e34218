-- ops.days and {table} have the same row count for every day of every app. If they differ, something other than a load wrote
-- to the table, or a load was not atomic.
-- tables: facts
-- severity: block
SELECT
    coalesce(ledger.app_id, stored.app_id) AS app_id,
    coalesce(ledger.day, stored.day) AS day,
    ledger.row_count AS rows_in_ledger,
    coalesce(stored.row_count, 0) AS rows_held
FROM (SELECT app_id, day, row_count FROM ops.days WHERE table_name = '{table}') AS ledger
FULL JOIN (SELECT app_id, day, count(*) AS row_count FROM {table} GROUP BY app_id, day) AS stored
    ON ledger.app_id = stored.app_id AND ledger.day = stored.day
WHERE ledger.row_count IS DISTINCT FROM coalesce(stored.row_count, 0)
ORDER BY app_id, day

-- ops.days and {table} agree, for every day of every app, on how many rows the day has. Where they do not,
-- something other than a load wrote here, or a load was torn.
-- tables: facts
-- severity: block
SELECT
    coalesce(ledger.app_id, held.app_id) AS app_id,
    coalesce(ledger.day, held.day) AS day,
    ledger.row_count AS rows_in_ledger,
    coalesce(held.row_count, 0) AS rows_held
FROM (SELECT app_id, day, row_count FROM ops.days WHERE table_name = '{table}') AS ledger
FULL JOIN (SELECT app_id, day, count(*) AS row_count FROM {table} GROUP BY app_id, day) AS held
    ON ledger.app_id = held.app_id AND ledger.day = held.day
WHERE ledger.row_count IS DISTINCT FROM coalesce(held.row_count, 0)
ORDER BY app_id, day

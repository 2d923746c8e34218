-- In every load, received = landed + quarantined + duplicates: no record vanished on the way.
-- severity: block
SELECT run_id, table_name, app_id, rows_received, rows_landed, rows_quarantined, rows_duplicate, finished_at
FROM ops.loads
WHERE rows_received IS DISTINCT FROM rows_landed + rows_quarantined + rows_duplicate
ORDER BY finished_at DESC, table_name, app_id

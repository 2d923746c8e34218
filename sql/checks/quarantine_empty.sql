-- No record of {table} is quarantined. Each record listed is missing from the figures until a valid version arrives; field
-- and reason describe what the API sent.
-- tables: core
-- severity: warn
SELECT app_id, day, record_id, field, reason, fetched_at, run_id
FROM ops.quarantine
WHERE table_name = '{table}'
ORDER BY fetched_at DESC, app_id, record_id

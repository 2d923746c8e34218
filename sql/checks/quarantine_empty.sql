-- No record of {table} is set aside. Each one listed is missing from the figures until it arrives whole:
-- field and reason say what the API sent.
-- tables: core
-- severity: warn
SELECT app_id, day, record_id, field, reason, fetched_at, run_id
FROM ops.quarantine
WHERE table_name = '{table}'
ORDER BY fetched_at DESC, app_id, record_id

-- No record of core.livestream_analytics_daily is set aside. Each one listed is missing from the figures until it arrives whole:
-- field and reason say what the API sent.
-- severity: warn
SELECT app_id, day, record_id, field, reason, fetched_at, run_id
FROM ops.quarantine
WHERE table_name = 'core.livestream_analytics_daily'
ORDER BY fetched_at DESC, app_id, record_id

-- No day of an app stands twice in {table}: a figure counted twice is worse than one missing.
-- tables: core.livestream_analytics_daily, core.meeting_sessions_daily, core.recordings_daily
-- severity: block
SELECT app_id, day, count(*) AS copies
FROM {table}
GROUP BY app_id, day
HAVING count(*) > 1
ORDER BY app_id, day

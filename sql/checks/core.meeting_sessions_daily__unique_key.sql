-- No day of an app stands twice in core.meeting_sessions_daily: a figure counted twice is worse than one missing.
-- severity: block
SELECT app_id, day, count(*) AS copies
FROM core.meeting_sessions_daily
GROUP BY app_id, day
HAVING count(*) > 1
ORDER BY app_id, day

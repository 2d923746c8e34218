-- No day of an app stands twice in core.recordings_daily: a figure counted twice is worse than one missing.
-- severity: block
SELECT app_id, day, count(*) AS copies
FROM core.recordings_daily
GROUP BY app_id, day
HAVING count(*) > 1
ORDER BY app_id, day

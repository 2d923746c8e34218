-- No livestream stands twice in core.livestreams: a figure counted twice is worse than one missing.
-- severity: block
SELECT app_id, livestream_id, count(*) AS copies
FROM core.livestreams
GROUP BY app_id, livestream_id
HAVING count(*) > 1
ORDER BY app_id, livestream_id

-- core.livestreams has one row per livestream: a duplicate would be counted twice.
-- severity: block
SELECT app_id, livestream_id, count(*) AS copies
FROM core.livestreams
GROUP BY app_id, livestream_id
HAVING count(*) > 1
ORDER BY app_id, livestream_id

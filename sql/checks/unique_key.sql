-- {table} has one row for each app and day, neither of them NULL: a row counted twice is worse than one missing.
-- tables: daily
-- severity: block
SELECT app_id, day, count(*) AS copies
FROM {table}
GROUP BY app_id, day
HAVING count(*) > 1 OR app_id IS NULL OR day IS NULL
ORDER BY app_id, day

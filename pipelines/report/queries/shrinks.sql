-- Rows of which the source now reports less than before, in groups of the same app, day, table and reason: the $groups largest.
SELECT
    apps.app,
    date_diff('day', $first, shrunk.day) AS day,
    shrunk.table_name,
    left(coalesce(shrunk.reason, ''), 300) AS reason,
    count(*) AS records
FROM ops.shrinks AS shrunk
INNER JOIN apps ON shrunk.app_id = apps.app_id
WHERE shrunk.day IS NULL OR shrunk.day >= $first
GROUP BY apps.app, shrunk.day, shrunk.table_name, left(coalesce(shrunk.reason, ''), 300)
ORDER BY records DESC, apps.app, shrunk.day, shrunk.table_name, reason
LIMIT $groups

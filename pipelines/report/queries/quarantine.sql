-- Records set aside, alike ones together: the $groups largest groups. A record without a day has day NULL.
SELECT
    apps.app,
    date_diff('day', $first, aside.day) AS day,
    aside.table_name,
    coalesce(aside.field, '') AS field,
    left(coalesce(aside.reason, ''), 300) AS reason,
    count(*) AS records,
    left(min(aside.record_id), 64) AS example
FROM ops.quarantine AS aside
INNER JOIN apps ON aside.app_id = apps.app_id
WHERE aside.day IS NULL OR aside.day >= $first
GROUP BY apps.app, aside.day, aside.table_name, coalesce(aside.field, ''), left(coalesce(aside.reason, ''), 300)
ORDER BY records DESC, apps.app, aside.day, aside.table_name, field, reason
LIMIT $groups

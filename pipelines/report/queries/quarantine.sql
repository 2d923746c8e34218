-- Quarantined records in groups of the same app, day, table, field and reason: the $groups largest. Some records have no day.
SELECT
    apps.app,
    date_diff('day', $first, quarantined.day) AS day,
    quarantined.table_name,
    coalesce(quarantined.field, '') AS field,
    left(coalesce(quarantined.reason, ''), 300) AS reason,
    count(*) AS records,
    left(min(quarantined.record_id), 64) AS example
FROM ops.quarantine AS quarantined
INNER JOIN apps ON quarantined.app_id = apps.app_id
WHERE quarantined.day IS NULL OR quarantined.day >= $first
GROUP BY apps.app, quarantined.day, quarantined.table_name, coalesce(quarantined.field, ''), left(coalesce(quarantined.reason, ''), 300)
ORDER BY records DESC, apps.app, quarantined.day, quarantined.table_name, field, reason
LIMIT $groups

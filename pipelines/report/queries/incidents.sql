-- Incidents that are open, and those that were over or corrected in the week before the last loaded day, open ones first: at most $groups.
SELECT
    apps.app,
    incident.rule,
    incident.text,
    coalesce(incident.closing, 'open') AS state,
    date_diff('day', $first, incident.first_day) AS first_day,
    date_diff('day', $first, incident.last_day) AS last_day
FROM ops.incidents AS incident
LEFT JOIN apps ON incident.app_id = apps.app_id
WHERE incident.closed_at IS NULL OR (incident.closing IN ('over', 'corrected') AND incident.closed_at >= $last - INTERVAL 7 DAY)
ORDER BY incident.closed_at IS NOT NULL, incident.opened_at DESC, incident.rule, apps.app, incident.scope
LIMIT $groups

-- Each incident has one row, and an app, or one of its livestreams, has at most one open incident of a rule: a second one would be
-- posted again.
-- severity: warn
SELECT any_value(rule) AS rule, any_value(app_id) AS app_id, any_value(scope) AS scope, count(*) AS incidents
FROM ops.incidents
GROUP BY incident_id
HAVING count(*) > 1
UNION ALL
SELECT rule, app_id, scope, count(*) AS incidents
FROM ops.incidents
WHERE closed_at IS NULL
GROUP BY rule, app_id, scope
HAVING count(*) > 1
ORDER BY ALL

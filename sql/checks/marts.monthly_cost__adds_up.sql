-- The rows of the customers of each app and month add up to marts.monthly_usage: no session is missing, or counted twice.
-- severity: block
SELECT
    usage.app_id,
    usage.month,
    usage.sessions,
    sum(cost.sessions) AS sessions_of_customers,
    usage.viewer_seconds,
    sum(cost.viewer_seconds) AS viewer_seconds_of_customers,
    usage.ingest_seconds,
    sum(cost.ingest_seconds) AS ingest_seconds_of_customers
FROM marts.monthly_usage AS usage
LEFT JOIN marts.monthly_cost AS cost ON usage.app_id = cost.app_id AND usage.month = cost.month
GROUP BY ALL
HAVING
    usage.sessions IS DISTINCT FROM sum(cost.sessions)
    OR (usage.viewer_seconds IS NULL) <> (sum(cost.viewer_seconds) IS NULL)
    OR abs(usage.viewer_seconds - sum(cost.viewer_seconds)) > 1e-3 + 1e-9 * usage.viewer_seconds
    OR (usage.ingest_seconds IS NULL) <> (sum(cost.ingest_seconds) IS NULL)
    OR abs(usage.ingest_seconds - sum(cost.ingest_seconds)) > 1e-3 + 1e-9 * usage.ingest_seconds
ORDER BY usage.month DESC, usage.app_id

-- What did each customer use and cost in a month, and what share of the account is that?
-- param: month (YYYY-MM) = NULL: the month to show, by default the latest
SELECT
    month,
    customer,
    CAST(sum(sessions) AS BIGINT) AS sessions,
    round(sum(viewer_seconds) / 3600, 1) AS viewer_hours,
    round(100 * sum(viewer_seconds) / nullif(sum(sum(viewer_seconds)) OVER (), 0), 1) AS viewer_percent,
    round(sum(ingest_seconds) / 3600, 1) AS ingest_hours,
    -- an estimate; meetings and recordings of an app belong to unassigned, because the API reports them by app only
    sum(cost) AS dollars,
    bool_and(is_complete) AS is_complete
FROM marts.monthly_cost
WHERE month = coalesce(CAST($month || '-01' AS DATE), (SELECT max(month) FROM marts.monthly_cost))
GROUP BY month, customer
ORDER BY dollars DESC NULLS LAST, customer

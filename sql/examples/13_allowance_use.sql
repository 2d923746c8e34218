-- How much of a monthly allowance of viewer hours has each app used, and how much will it have used at this pace?
-- param: month (YYYY-MM) = NULL: the month to show, by default the latest
-- param: allowance_hours (hours) = 1000: viewer hours of an app that are included in a month
-- param: warn_percent (percent) = 70: the used share from which an app is marked as near
WITH used AS (
    SELECT
        *,
        viewer_seconds / 3600 AS viewer_hours,
        viewer_seconds / 36 / nullif(CAST($allowance_hours AS DOUBLE), 0) AS used_percent
    FROM marts.monthly_usage
    WHERE month = coalesce(CAST($month || '-01' AS DATE), (SELECT max(month) FROM marts.monthly_usage))
)
SELECT
    month,
    app_id,
    round(viewer_hours, 1) AS viewer_hours,
    round(used_percent, 1) AS used_percent,
    CASE
        WHEN used_percent >= 100 OR viewer_hours > CAST($allowance_hours AS DOUBLE) THEN 'over'
        WHEN used_percent >= CAST($warn_percent AS DOUBLE) THEN 'near'
        WHEN viewer_hours IS NOT NULL THEN 'within'
        ELSE 'unknown'
    END AS state,
    -- at the average of the days known so far
    round(viewer_hours / nullif(days_known, 0) * days_in_month, 1) AS viewer_hours_at_this_pace,
    days_known || ' of ' || days_in_month AS session_days_known,
    is_complete
FROM used
ORDER BY used_percent DESC NULLS LAST, app_id

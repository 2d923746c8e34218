-- How much of each monthly allowance has been used, and how much will have been used at this pace?
-- param: month (YYYY-MM) = NULL: the month to show, by default the latest
-- param: allowance_hours (hours) = 1000: viewer hours to assume for an app without an allowance of viewer minutes
-- param: warn_percent (percent) = 70: the used share from which an allowance is marked as near
WITH allowances AS (
    SELECT month, holder_type, holder, measure, used_minutes, included_minutes, days_known, days_in_month, is_complete, false AS is_assumed
    FROM marts.monthly_allowance
    UNION ALL
    SELECT
        usage.month,
        'app' AS holder_type,
        usage.app_id AS holder,
        'viewer_minutes' AS measure,
        usage.viewer_seconds / 60 AS used_minutes,
        CAST($allowance_hours AS DOUBLE) * 60 AS included_minutes,
        usage.days_known,
        usage.days_in_month,
        usage.is_complete,
        true AS is_assumed
    FROM marts.monthly_usage AS usage
    WHERE
        NOT EXISTS (
            FROM ops.allowances AS given
            WHERE (given.holder_type, given.holder, given.measure) = ('app', usage.app_id, 'viewer_minutes')
        )
),
used AS (
    SELECT *, used_minutes * 100 / nullif(included_minutes, 0) AS used_percent
    FROM allowances
    WHERE month = coalesce(CAST($month || '-01' AS DATE), (SELECT max(month) FROM marts.monthly_usage))
)
SELECT
    month,
    holder_type,
    holder,
    measure,
    round(used_minutes / 60, 1) AS used_hours,
    round(included_minutes / 60, 1) AS included_hours,
    round(used_percent, 1) AS used_percent,
    CASE
        WHEN used_percent >= 100 OR used_minutes > included_minutes THEN 'over'
        WHEN used_percent >= CAST($warn_percent AS DOUBLE) THEN 'near'
        WHEN used_minutes IS NOT NULL THEN 'within'
        ELSE 'unknown'
    END AS state,
    -- at the average of the days known so far
    round(used_minutes / 60 / nullif(days_known, 0) * days_in_month, 1) AS used_hours_at_this_pace,
    days_known || ' of ' || days_in_month AS days_known,
    is_complete,
    is_assumed
FROM used
ORDER BY used_percent DESC NULLS LAST, holder_type, holder, measure

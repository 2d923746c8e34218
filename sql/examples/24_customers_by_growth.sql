-- Which customers' viewer hours grew or shrank most against the month before? Only months whose session days are all known.
-- param: month (YYYY-MM) = NULL: the month to show, by default the latest
-- param: rows (count) = 20: the number of customers to show
WITH months AS (
    SELECT month, customer, sum(viewer_seconds) / 3600 AS viewer_hours
    FROM marts.monthly_cost
    GROUP BY month, customer
),
known AS (
    SELECT month
    FROM marts.monthly_usage
    GROUP BY month
    HAVING bool_and(days_known = days_in_month)
),
shown AS (
    SELECT coalesce(CAST($month || '-01' AS DATE), (SELECT max(month) FROM marts.monthly_cost)) AS month
),
customers AS (
    SELECT DISTINCT shown.month, months.customer
    FROM shown
    INNER JOIN months ON months.month IN (shown.month, CAST(shown.month - INTERVAL 1 MONTH AS DATE))
),
compared AS (
    SELECT
        customers.month,
        customers.customer,
        -- a customer without a row in a known month used nothing
        CASE WHEN known.month IS NULL THEN NULL WHEN this.customer IS NULL THEN 0 ELSE this.viewer_hours END AS viewer_hours,
        CASE WHEN known_before.month IS NULL THEN NULL WHEN before.customer IS NULL THEN 0 ELSE before.viewer_hours END
            AS viewer_hours_before
    FROM customers
    LEFT JOIN months AS this ON customers.month = this.month AND customers.customer = this.customer
    LEFT JOIN months AS before
        ON before.month = customers.month - INTERVAL 1 MONTH AND customers.customer = before.customer
    LEFT JOIN known ON customers.month = known.month
    LEFT JOIN known AS known_before ON known_before.month = customers.month - INTERVAL 1 MONTH
)
SELECT
    month,
    customer,
    round(viewer_hours, 1) AS viewer_hours,
    round(viewer_hours_before, 1) AS viewer_hours_before,
    round(viewer_hours - viewer_hours_before, 1) + 0.0 AS hours_more,
    round(100 * (viewer_hours / nullif(viewer_hours_before, 0) - 1), 1) + 0.0 AS change_percent
FROM compared
ORDER BY abs(viewer_hours - viewer_hours_before) DESC NULLS LAST, customer
LIMIT CAST($rows AS BIGINT)

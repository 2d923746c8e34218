-- Use of allowances in the month of the last loaded day and the two before, newest first and most used first: at most $groups.
-- The name of an app or customer, its measure, and minutes; beyond is NULL if use is unknown, cost also if no rate is given.
SELECT
    holder,
    holder_type = 'customer' AS is_customer,
    strftime(month, '%Y-%m') AS month,
    measure,
    round(used_minutes, 3) AS used,
    round(included_minutes, 3) AS included,
    round(used_percent, 3) AS used_percent,
    round(overage_minutes, 3) AS beyond,
    CAST(overage_cost AS DOUBLE) AS cost,
    is_complete
FROM marts.monthly_allowance
WHERE month > month_of($last) - INTERVAL 3 MONTH
ORDER BY month DESC, used_percent DESC NULLS LAST, is_customer, holder, measure
LIMIT $groups

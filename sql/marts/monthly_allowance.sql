-- Use of each allowance in ops.allowances by month: what an app or a customer has used, and what goes beyond.
-- A customer's use is the sum over all apps. Minutes beyond the allowance cost the contract's rate; the estimates in
-- marts.monthly_cost do not depend on allowances, so the two are different amounts: do not add them.
-- grain: month, holder_type, holder, measure
-- column: month (first day of the month): UTC month; as in marts.monthly_usage
-- column: holder_type (text): app or customer
-- column: holder (text): app id, or name of the customer
-- column: measure (text): viewer_minutes, ingest_minutes, meeting_minutes or recording_minutes
-- column: used_minutes (minutes): minutes used; NULL if unknown, 0 if nothing was used in a month that is known
-- column: included_minutes (minutes): minutes included in the month
-- column: used_percent (percent): used_minutes of included_minutes; NULL if none are included
-- column: overage_minutes (minutes): minutes used beyond those included
-- column: overage_rate (US dollars per minute): price of each minute beyond; NULL if none is given
-- column: overage_cost (US dollars): overage_minutes at overage_rate; NULL if no rate is given
-- column: days_in_month (days): days of the month
-- column: days_known (days): days whose figures are known; of a customer, in the app with the fewest
-- column: is_complete (flag): every day is known and final; of a customer, in every app
-- column: loaded_at (UTC time): latest load of any of these figures
WITH months AS (
    SELECT
        'app' AS holder_type,
        app_id AS holder,
        month,
        sum(viewer_seconds) / 60 AS viewer_minutes,
        sum(ingest_seconds) / 60 AS ingest_minutes,
        sum(meeting_minutes) AS meeting_minutes,
        sum(recording_minutes) AS recording_minutes,
        min(days_known) AS days_known,
        min(meeting_days_known) AS meeting_days_known,
        min(recording_days_known) AS recording_days_known,
        bool_and(is_complete) AS is_complete,
        max(loaded_at) AS loaded_at
    FROM marts.monthly_cost
    GROUP BY app_id, month
    UNION ALL
    SELECT
        'customer' AS holder_type,
        allowance.holder,
        cost.month,
        CASE
            WHEN count(*) FILTER (WHERE cost.customer = allowance.holder) > 0
                THEN sum(cost.viewer_seconds) FILTER (WHERE cost.customer = allowance.holder) / 60
            WHEN count(cost.viewer_seconds) > 0 THEN 0
        END AS viewer_minutes,
        CASE
            WHEN count(*) FILTER (WHERE cost.customer = allowance.holder) > 0
                THEN sum(cost.ingest_seconds) FILTER (WHERE cost.customer = allowance.holder) / 60
            WHEN count(cost.ingest_seconds) > 0 THEN 0
        END AS ingest_minutes,
        NULL AS meeting_minutes,
        NULL AS recording_minutes,
        min(cost.days_known) AS days_known,
        NULL AS meeting_days_known,
        NULL AS recording_days_known,
        bool_and(cost.is_complete) AS is_complete,
        max(cost.loaded_at) AS loaded_at
    FROM marts.monthly_cost AS cost
    CROSS JOIN (SELECT DISTINCT holder FROM ops.allowances WHERE holder_type = 'customer') AS allowance
    GROUP BY allowance.holder, cost.month
),
used AS (
    SELECT
        months.month,
        allowances.holder_type,
        allowances.holder,
        allowances.measure,
        finite(
            CASE allowances.measure
                WHEN 'viewer_minutes' THEN months.viewer_minutes
                WHEN 'ingest_minutes' THEN months.ingest_minutes
                WHEN 'meeting_minutes' THEN months.meeting_minutes
                WHEN 'recording_minutes' THEN months.recording_minutes
            END
        ) AS used_minutes,
        allowances.included_minutes,
        allowances.overage_rate,
        CASE allowances.measure
            WHEN 'meeting_minutes' THEN months.meeting_days_known
            WHEN 'recording_minutes' THEN months.recording_days_known
            ELSE months.days_known
        END AS days_known,
        months.is_complete,
        months.loaded_at
    FROM ops.allowances AS allowances
    INNER JOIN months ON allowances.holder_type = months.holder_type AND allowances.holder = months.holder
),
beyond AS (
    SELECT *, CASE WHEN used_minutes IS NOT NULL THEN greatest(used_minutes - included_minutes, 0) END AS overage_minutes
    FROM used
)
SELECT
    month,
    holder_type,
    holder,
    measure,
    used_minutes,
    included_minutes,
    finite(used_minutes * 100 / nullif(included_minutes, 0)) AS used_percent,
    overage_minutes,
    overage_rate,
    to_dollars(overage_minutes * overage_rate) AS overage_cost,
    day(last_day(month)) AS days_in_month,
    days_known,
    is_complete,
    loaded_at
FROM beyond

-- What did each app use in each month, and does the figure cover the whole month?
-- param: month (YYYY-MM) = NULL: the month to show, by default every month
SELECT
    month,
    app_id,
    sessions,
    round(ingest_seconds / 3600, 2) AS ingest_hours,
    round(viewer_seconds / 3600, 2) AS viewer_hours,
    round(meeting_minutes, 1) AS meeting_minutes,
    round(recording_minutes, 1) AS recording_minutes,
    days_known || ' of ' || days_in_month AS session_days_known,
    is_complete
FROM marts.monthly_usage
WHERE month = coalesce(CAST($month || '-01' AS DATE), month)
ORDER BY month DESC, app_id

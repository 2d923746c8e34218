-- How did each app's usage change from one month to the next? Only months whose session days are all known and final.
-- param: month (YYYY-MM) = NULL: the month to show, by default every month
SELECT
    this.month,
    this.app_id,
    round(this.viewer_seconds / 3600, 1) AS viewer_hours,
    round(before.viewer_seconds / 3600, 1) AS viewer_hours_before,
    round(100 * (this.viewer_seconds / nullif(before.viewer_seconds, 0) - 1), 1) + 0.0 AS viewer_change_percent,
    round(100 * (this.ingest_seconds / nullif(before.ingest_seconds, 0) - 1), 1) + 0.0 AS ingest_change_percent,
    this.sessions - before.sessions AS sessions_more
FROM marts.monthly_usage AS this
LEFT JOIN marts.monthly_usage AS before
    ON this.app_id = before.app_id
    AND before.month = this.month - INTERVAL 1 MONTH
    AND this.days_settled = this.days_in_month
    AND before.days_settled = before.days_in_month
WHERE this.month = coalesce(CAST($month || '-01' AS DATE), this.month)
ORDER BY this.month DESC, this.app_id

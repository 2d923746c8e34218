-- How does the last week loaded compare with an average week of those before it?
-- param: weeks (count) = 4: the number of weeks before
WITH span AS (
    SELECT max(day) AS last_day FROM marts.daily_usage
),
sums AS (
    SELECT
        usage.app_id,
        count(usage.sessions) FILTER (WHERE usage.day > span.last_day - 7) AS days_known,
        count(usage.sessions) FILTER (WHERE usage.day <= span.last_day - 7) AS days_known_before,
        count(usage.viewer_seconds) FILTER (WHERE usage.day > span.last_day - 7) AS viewer_days,
        count(usage.viewer_seconds) FILTER (WHERE usage.day <= span.last_day - 7) AS viewer_days_before,
        sum(usage.sessions) FILTER (WHERE usage.day > span.last_day - 7) AS sessions,
        sum(usage.sessions) FILTER (WHERE usage.day <= span.last_day - 7) / CAST($weeks AS INTEGER) AS sessions_before,
        sum(usage.viewer_seconds) FILTER (WHERE usage.day > span.last_day - 7) / 3600 AS viewer_hours,
        sum(usage.viewer_seconds) FILTER (WHERE usage.day <= span.last_day - 7) / 3600 / CAST($weeks AS INTEGER)
            AS viewer_hours_before
    FROM marts.daily_usage AS usage
    INNER JOIN span ON usage.day > span.last_day - 7 * (1 + CAST($weeks AS INTEGER))
    GROUP BY usage.app_id
)
SELECT
    app_id,
    sessions,
    round(viewer_hours, 1) AS viewer_hours,
    -- compared only where every day of these weeks is known
    CASE WHEN days_known_before = 7 * CAST($weeks AS INTEGER) THEN round(sessions_before, 1) END AS sessions_before,
    CASE WHEN viewer_days_before = 7 * CAST($weeks AS INTEGER) THEN round(viewer_hours_before, 1) END AS viewer_hours_before,
    CASE
        WHEN viewer_days + viewer_days_before = 7 * (1 + CAST($weeks AS INTEGER)) THEN round(100 * (viewer_hours / nullif(viewer_hours_before, 0) - 1), 1) + 0.0
    END AS viewer_change_percent,
    days_known || ' of 7' AS session_days_known
FROM sums
ORDER BY app_id

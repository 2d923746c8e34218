-- Which livestreams of each app were watched most in a month, and what share of the app's watch time do they have?
-- param: month (YYYY-MM) = NULL: the month to show, by default the latest
-- param: rows (count) = 10: the number of livestreams of each app
SELECT
    app_id,
    name,
    round(viewer_seconds / 3600, 1) AS viewer_hours,
    round(100 * viewer_seconds / nullif(nullif(sum(viewer_seconds) OVER (PARTITION BY app_id), 'inf'), 0), 1) AS percent_of_app,
    round(average_concurrent_viewers, 1) AS average_concurrent_viewers,
    sessions,
    livestream_id
FROM marts.livestream_performance
WHERE month = coalesce(CAST($month || '-01' AS DATE), (SELECT max(month) FROM marts.livestream_performance))
QUALIFY row_number() OVER (PARTITION BY app_id ORDER BY viewer_seconds DESC NULLS LAST, livestream_id) <= CAST($rows AS BIGINT)
ORDER BY app_id, viewer_seconds DESC NULLS LAST, livestream_id

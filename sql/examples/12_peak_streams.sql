-- What was the peak of concurrent streams in each month, when, and how does it compare with the average?
-- param: month (YYYY-MM) = NULL: the month to show, by default every month
SELECT
    CAST(date_trunc('month', day) AS DATE) AS month,
    app_id,
    max(peak_concurrent_streams) AS peak_concurrent_streams,
    arg_max(peak_at, (peak_concurrent_streams, -epoch(peak_at))) AS peak_at,
    round(avg(average_concurrent_streams), 2) AS average_concurrent_streams,
    round(sum(stream_hours), 1) AS stream_hours,
    count(peak_concurrent_streams) AS days_known
FROM marts.stream_concurrency
WHERE date_trunc('month', day) = coalesce(CAST($month || '-01' AS DATE), date_trunc('month', day))
GROUP BY month, app_id
ORDER BY month DESC, app_id

-- What was the longest time between two streams of each app in the last days loaded, without anything on air?
-- param: days (count) = 28: the number of days, up to the last day loaded
WITH span AS (
    SELECT max(day) - CAST($days AS INTEGER) + 1 AS first_day
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
),
on_air AS (
    SELECT app_id, started_at AS begins, CASE WHEN is_live THEN fetched_at ELSE ended_at END AS ends
    FROM core.livestream_sessions
    CROSS JOIN span
    WHERE ends > span.first_day AND ends > started_at
),
gaps AS (
    SELECT
        app_id,
        max(ends) OVER (PARTITION BY app_id ORDER BY begins, ends ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS since,
        begins AS until
    FROM on_air
),
longest AS (
    SELECT app_id, arg_max(since, until - since) AS since, arg_max(until, until - since) AS until
    FROM gaps
    WHERE until > since
    GROUP BY app_id
)
SELECT
    longest.app_id,
    longest.since,
    longest.until,
    round(epoch(longest.until - longest.since) / 3600, 2) AS gap_hours,
    -- on such a day there may have been a stream
    date_diff('day', CAST(longest.since AS DATE), CAST(longest.until AS DATE)) + 1 - count(days.day) AS days_unknown
FROM longest
LEFT JOIN ops.days AS days
    ON longest.app_id = days.app_id
    AND days.table_name = 'core.livestream_sessions'
    AND days.is_known
    AND days.day BETWEEN CAST(longest.since AS DATE) AND CAST(longest.until AS DATE)
GROUP BY longest.app_id, longest.since, longest.until
ORDER BY gap_hours DESC, longest.app_id

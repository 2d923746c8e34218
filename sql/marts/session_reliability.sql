-- Reliability of sessions by day: failures, time to live, sessions that do not end. A figure is NULL if it is unknown, and 0 if
-- the day is known and nothing happened. A session failed if it has an error message.
-- grain: app_id, day
-- headline_metric: failed_sessions
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day that core.livestream_sessions has
-- column: sessions (count): sessions of the day
-- column: never_started (count): sessions that never went live
-- column: failed_sessions (count): sessions with an error message
-- column: failed_before_live (count): failed sessions that never went live
-- column: failed_after_live (count): failed sessions that had gone live
-- column: error_rate (ratio): failed_sessions / sessions; NULL if there were none
-- column: time_to_live_p50_seconds (seconds): median of started - invoked; a start before the invocation counts as 0
-- column: time_to_live_p95_seconds (seconds): 95th percentile of the same
-- column: time_to_live_histogram (sessions by milliseconds): distribution of the same, in steps of 2 %, for percentiles over several days
-- column: on_air (count): sessions on air when last fetched
-- column: unfinished (count): sessions neither stopped nor failed when last fetched, whether they started or not
-- column: unfinished_over_24h (count): unfinished sessions that had begun more than 24 hours before they were last fetched
-- column: most_common_error (text): most frequent error message; of several, the first in alphabetical order
-- column: most_common_error_sessions (count): sessions with that message; NULL if none failed
WITH loaded AS (
    SELECT app_id, day, is_known
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
),
-- NOT MATERIALIZED: DuckDB 2 would read every session once for both uses, and filter the days only after that
sessions AS NOT MATERIALIZED (
    SELECT
        *,
        CAST(round(time_to_live_seconds * 1000) AS BIGINT) AS waited
    FROM core.livestream_sessions
),
counts AS (
    SELECT
        app_id,
        day,
        count(*) AS sessions,
        count(*) FILTER (WHERE started_at IS NULL) AS never_started,
        count(*) FILTER (WHERE is_failed) AS failed_sessions,
        count(*) FILTER (WHERE is_failed AND started_at IS NULL) AS failed_before_live,
        quantile_cont(time_to_live_seconds, [0.5, 0.95]) FILTER (WHERE time_to_live_seconds IS NOT NULL) AS times_to_live,
        histogram(CASE WHEN waited = 0 THEN 0 ELSE CAST(round(pow(1.02, round(ln(waited) / ln(1.02)))) AS BIGINT) END)
            FILTER (WHERE waited IS NOT NULL) AS time_to_live_histogram,
        count(*) FILTER (WHERE is_live) AS on_air,
        count(*) FILTER (WHERE is_provisional) AS unfinished,
        count(*) FILTER (
            WHERE is_provisional AND fetched_at - coalesce(started_at, invoked_at, created_at) > INTERVAL 24 HOUR
        ) AS unfinished_over_24h
    FROM sessions
    GROUP BY app_id, day
),
messages AS (
    SELECT app_id, day, err_message, count(*) AS sessions
    FROM core.livestream_sessions
    WHERE is_failed
    GROUP BY app_id, day, err_message
),
errors AS (
    SELECT
        app_id,
        day,
        first(err_message ORDER BY sessions DESC, err_message) AS most_common_error,
        max(sessions) AS most_common_error_sessions
    FROM messages
    GROUP BY app_id, day
)
SELECT
    loaded.app_id,
    loaded.day,
    zero_if_known(counts.sessions, loaded.is_known) AS sessions,
    zero_if_known(counts.never_started, loaded.is_known) AS never_started,
    zero_if_known(counts.failed_sessions, loaded.is_known) AS failed_sessions,
    zero_if_known(counts.failed_before_live, loaded.is_known) AS failed_before_live,
    zero_if_known(counts.failed_sessions - counts.failed_before_live, loaded.is_known) AS failed_after_live,
    counts.failed_sessions / counts.sessions AS error_rate,
    counts.times_to_live[1] AS time_to_live_p50_seconds,
    counts.times_to_live[2] AS time_to_live_p95_seconds,
    counts.time_to_live_histogram,
    zero_if_known(counts.on_air, loaded.is_known) AS on_air,
    zero_if_known(counts.unfinished, loaded.is_known) AS unfinished,
    zero_if_known(counts.unfinished_over_24h, loaded.is_known) AS unfinished_over_24h,
    errors.most_common_error,
    errors.most_common_error_sessions
FROM loaded
LEFT JOIN counts ON loaded.app_id = counts.app_id AND loaded.day = counts.day
LEFT JOIN errors ON loaded.app_id = errors.app_id AND loaded.day = errors.day

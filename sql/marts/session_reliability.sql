-- How reliably sessions went live, by day: failures, time to live, sessions that do not end. A figure is NULL where it is
-- unknown and 0 where the day is known and nothing happened. A session failed when it carries an error message.
-- grain: app_id, day
-- drawn: failed_sessions
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day that core.livestream_sessions holds
-- column: sessions (count): sessions of the day
-- column: never_started (count): of them, those that never went live
-- column: failed_sessions (count): of them, those with an error message
-- column: failed_before_live (count): failed sessions that never went live
-- column: failed_after_live (count): failed sessions that had gone live
-- column: error_rate (ratio): failed_sessions / sessions; NULL where there were none
-- column: time_to_live_p50_seconds (seconds): median of started - invoked; a start noted before it counts as 0
-- column: time_to_live_p95_seconds (seconds): 95th percentile of the same
-- column: time_to_live_histogram (sessions by milliseconds): the same, in steps 2 % apart: for percentiles of several days
-- column: on_air (count): sessions on air when last received
-- column: unfinished (count): sessions neither stopped nor failed when last received, whether they started or not
-- column: unfinished_over_24h (count): of them, those that had begun more than 24 hours before they were last received
-- column: most_common_error (text): error message of most sessions; of several, the first in the alphabet
-- column: most_common_error_sessions (count): sessions with that message; NULL where none failed
WITH held AS (
    SELECT app_id, day, is_known
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
),
-- not kept: DuckDB 2 would read every session once for both of its uses, and take the wanted days out after that
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
    held.app_id,
    held.day,
    CASE WHEN held.is_known THEN coalesce(counts.sessions, 0) END AS sessions,
    CASE WHEN held.is_known THEN coalesce(counts.never_started, 0) END AS never_started,
    CASE WHEN held.is_known THEN coalesce(counts.failed_sessions, 0) END AS failed_sessions,
    CASE WHEN held.is_known THEN coalesce(counts.failed_before_live, 0) END AS failed_before_live,
    CASE WHEN held.is_known THEN coalesce(counts.failed_sessions - counts.failed_before_live, 0) END AS failed_after_live,
    counts.failed_sessions / counts.sessions AS error_rate,
    counts.times_to_live[1] AS time_to_live_p50_seconds,
    counts.times_to_live[2] AS time_to_live_p95_seconds,
    counts.time_to_live_histogram,
    CASE WHEN held.is_known THEN coalesce(counts.on_air, 0) END AS on_air,
    CASE WHEN held.is_known THEN coalesce(counts.unfinished, 0) END AS unfinished,
    CASE WHEN held.is_known THEN coalesce(counts.unfinished_over_24h, 0) END AS unfinished_over_24h,
    errors.most_common_error,
    errors.most_common_error_sessions
FROM held
LEFT JOIN counts ON held.app_id = counts.app_id AND held.day = counts.day
LEFT JOIN errors ON held.app_id = errors.app_id AND held.day = errors.day

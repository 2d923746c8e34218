-- Performance of each livestream by month, for months in which it had a session. All of a session counts in the month of
-- core.livestream_sessions.day. A figure is NULL if it is unknown, if none of the sessions that started reports it, or if the
-- sum exceeds a DOUBLE. A session that never started was fed nothing.
-- grain: app_id, livestream_id, month
-- column: app_id (id): RealtimeKit app
-- column: livestream_id (id): livestream
-- column: month (first day of the month): UTC month
-- column: name (text): name of the livestream as last listed; NULL if it has none
-- column: sessions (count): sessions
-- column: failed_sessions (count): sessions with an error message
-- column: ingest_seconds (seconds): time it was fed in; sessions that started but report no figure add nothing
-- column: viewer_seconds (seconds): time watched, summed over viewers
-- column: average_concurrent_viewers (viewers): viewer_seconds / ingest_seconds of sessions that report both; NULL if there are none
-- column: longest_session_seconds (seconds): longest time a session was on air: from its start to its end, or to fetched_at while it runs
-- column: first_session_at (UTC time): start of its first session; if none started, invocation of the first
-- column: last_session_at (UTC time): start of its last session; if none started, invocation of the last
-- column: time_to_live_p50_seconds (seconds): median of started - invoked; a start before the invocation counts as 0
-- column: time_to_live_p95_seconds (seconds): 95th percentile of the same
-- column: is_never_watched (flag): it went live in the month and nobody watched; NULL if a session that started does not report viewers
-- column: best_place (rank): its best rank among the app's livestreams of the month, by viewer_seconds, ingest_seconds or sessions
-- column: days_active (days): days with a session
-- column: days_known (days): days of the month whose sessions are loaded and known for the app
-- column: days_in_month (days): days of the month
WITH loaded AS (
    SELECT app_id, month_of(day) AS month, count(*) FILTER (WHERE is_known) AS days_known
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
    GROUP BY app_id, month_of(day)
),
sessions AS (
    SELECT
        *,
        month_of(day) AS month,
        on_air_until(is_live, fetched_at, ended_at) AS on_air_until
    FROM core.livestream_sessions
),
performance AS (
    SELECT
        app_id,
        livestream_id,
        month,
        count(*) AS sessions,
        count(*) FILTER (WHERE is_failed) AS failed_sessions,
        count(DISTINCT day) AS days_active,
        count(started_at) AS started_sessions,
        count(*) FILTER (WHERE started_at IS NOT NULL AND viewer_seconds IS NULL) AS sessions_without_viewers,
        reported_figure(sum_reported(ingest_seconds, started_at), count(started_at), true) AS ingest_seconds,
        reported_figure(sum_reported(viewer_seconds, started_at), count(started_at), true) AS viewer_seconds,
        finite(sum_paired(ingest_seconds, viewer_seconds)) AS paired_ingest_seconds,
        finite(sum_paired(viewer_seconds, ingest_seconds)) AS paired_viewer_seconds,
        max(viewer_seconds) AS most_watched_seconds,
        max(epoch(on_air_until - started_at)) FILTER (WHERE on_air_until >= started_at) AS longest_session_seconds,
        coalesce(min(started_at), min(coalesce(invoked_at, created_at))) AS first_session_at,
        coalesce(max(started_at), max(coalesce(invoked_at, created_at))) AS last_session_at,
        quantile_cont(time_to_live_seconds, [0.5, 0.95]) FILTER (WHERE time_to_live_seconds IS NOT NULL) AS times_to_live
    FROM sessions
    GROUP BY app_id, livestream_id, month
)
SELECT
    performance.app_id,
    performance.livestream_id,
    performance.month,
    livestreams.name,
    performance.sessions,
    performance.failed_sessions,
    performance.ingest_seconds,
    performance.viewer_seconds,
    average_viewers(performance.paired_viewer_seconds, performance.paired_ingest_seconds) AS average_concurrent_viewers,
    performance.longest_session_seconds,
    performance.first_session_at,
    performance.last_session_at,
    performance.times_to_live[1] AS time_to_live_p50_seconds,
    performance.times_to_live[2] AS time_to_live_p95_seconds,
    CASE
        WHEN performance.started_sessions = 0 OR performance.most_watched_seconds > 0 THEN false
        WHEN performance.sessions_without_viewers = 0 THEN true
    END AS is_never_watched,
    least(
        row_number() OVER (of_month ORDER BY performance.viewer_seconds DESC NULLS LAST, performance.livestream_id),
        row_number() OVER (of_month ORDER BY performance.ingest_seconds DESC NULLS LAST, performance.livestream_id),
        row_number() OVER (of_month ORDER BY performance.sessions DESC, performance.livestream_id)
    ) AS best_place,
    performance.days_active,
    loaded.days_known,
    day(last_day(performance.month)) AS days_in_month
FROM performance
INNER JOIN loaded ON performance.app_id = loaded.app_id AND performance.month = loaded.month
LEFT JOIN core.livestreams AS livestreams
    ON performance.app_id = livestreams.app_id AND performance.livestream_id = livestreams.livestream_id
WINDOW of_month AS (PARTITION BY performance.app_id, performance.month)

-- How each livestream did, month by month: only months in which it had a session. Sessions count in the month of their
-- core.livestream_sessions.day, wholly. A figure is NULL where it is unknown: also where none of the sessions that started
-- reports it, and where the sum is beyond a DOUBLE. A session that never started was fed nothing.
-- grain: app_id, livestream_id, month
-- column: app_id (id): RealtimeKit app
-- column: livestream_id (id): livestream
-- column: month (first day of the month): UTC month
-- column: name (text): name of the livestream as last listed; NULL where it has none
-- column: sessions (count): sessions
-- column: failed_sessions (count): of them, those with an error message
-- column: ingest_seconds (seconds): time it was fed in; sessions that started but report no figure add nothing
-- column: viewer_seconds (seconds): time watched, summed over viewers
-- column: average_concurrent_viewers (viewers): viewer_seconds / ingest_seconds of sessions that report both; NULL without any
-- column: longest_session_seconds (seconds): longest time on air of one session, from its start to its end, or to fetched_at while it runs
-- column: first_session_at (UTC time): start of its first session; where none started, when the first was invoked
-- column: last_session_at (UTC time): start of its last session; where none started, when the last was invoked
-- column: time_to_live_p50_seconds (seconds): median of started - invoked; a start noted before it counts as 0
-- column: time_to_live_p95_seconds (seconds): 95th percentile of the same
-- column: is_never_watched (flag): it went live in the month and nobody watched; NULL while a session that started does not tell
-- column: best_place (place): the best of its places in the month, by viewer_seconds, ingest_seconds and sessions, in its app
-- column: days_active (days): days with a session
-- column: days_known (days): days of the month whose sessions of the app are loaded and known
-- column: days_in_month (days): days of the month
WITH held AS (
    SELECT app_id, CAST(date_trunc('month', day) AS DATE) AS month, count(*) FILTER (WHERE is_known) AS days_known
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
    GROUP BY app_id, CAST(date_trunc('month', day) AS DATE)
),
sessions AS (
    SELECT
        *,
        CAST(date_trunc('month', day) AS DATE) AS month,
        CASE WHEN is_live THEN fetched_at ELSE ended_at END AS on_air_until
    FROM core.livestream_sessions
),
sums AS (
    SELECT
        app_id,
        livestream_id,
        month,
        count(*) AS sessions,
        count(*) FILTER (WHERE is_failed) AS failed_sessions,
        count(DISTINCT day) AS days_active,
        count(started_at) AS started_sessions,
        count(*) FILTER (WHERE started_at IS NOT NULL AND viewer_seconds IS NULL) AS sessions_without_viewers,
        -- as in marts.daily_usage
        nullif(sum(ingest_seconds) FILTER (WHERE started_at IS NOT NULL OR ingest_seconds > 0), 'inf') AS ingest_seconds,
        nullif(sum(viewer_seconds) FILTER (WHERE started_at IS NOT NULL OR viewer_seconds > 0), 'inf') AS viewer_seconds,
        nullif(sum(ingest_seconds) FILTER (WHERE viewer_seconds IS NOT NULL), 'inf') AS paired_ingest_seconds,
        nullif(sum(viewer_seconds) FILTER (WHERE ingest_seconds IS NOT NULL), 'inf') AS paired_viewer_seconds,
        max(viewer_seconds) AS most_watched_seconds,
        max(epoch(on_air_until - started_at)) FILTER (WHERE on_air_until >= started_at) AS longest_session_seconds,
        coalesce(min(started_at), min(coalesce(invoked_at, created_at))) AS first_session_at,
        coalesce(max(started_at), max(coalesce(invoked_at, created_at))) AS last_session_at,
        quantile_cont(time_to_live_seconds, [0.5, 0.95]) FILTER (WHERE time_to_live_seconds IS NOT NULL) AS times_to_live
    FROM sessions
    GROUP BY app_id, livestream_id, month
),
performance AS (
    SELECT
        * REPLACE (
            CASE WHEN started_sessions > 0 THEN ingest_seconds ELSE coalesce(ingest_seconds, 0) END AS ingest_seconds,
            CASE WHEN started_sessions > 0 THEN viewer_seconds ELSE coalesce(viewer_seconds, 0) END AS viewer_seconds
        )
    FROM sums
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
    nullif(performance.paired_viewer_seconds / nullif(performance.paired_ingest_seconds, 0), 'inf')
        AS average_concurrent_viewers,
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
    held.days_known,
    day(last_day(performance.month)) AS days_in_month
FROM performance
INNER JOIN held ON performance.app_id = held.app_id AND performance.month = held.month
LEFT JOIN core.livestreams AS livestreams
    ON performance.app_id = livestreams.app_id AND performance.livestream_id = livestreams.livestream_id
WINDOW of_month AS (PARTITION BY performance.app_id, performance.month)

-- How each livestream did, month by month: only months in which it had a session. Sessions count in the month of their
-- core.livestream_sessions.day, wholly. A figure is NULL where it is unknown.
-- grain: app_id, livestream_id, month
-- follows: name of core.livestreams by app_id, livestream_id
-- column: app_id (id): RealtimeKit app
-- column: livestream_id (id): livestream
-- column: month (first day of the month): UTC month
-- column: name (text): name of the livestream as last listed; NULL where it has none
-- column: sessions (count): sessions
-- column: failed_sessions (count): of them, those with an error message
-- column: ingest_seconds (seconds): time it was fed in; sessions that started but report no figure add nothing
-- column: viewer_seconds (seconds): time watched, summed over viewers
-- column: average_concurrent_viewers (viewers): viewer_seconds / ingest_seconds; NULL where nothing was fed in
-- column: longest_session_seconds (seconds): longest time on air of one session, to fetched_at while it runs
-- column: first_session_at (UTC time): start of its first session; where none started, when the first was invoked
-- column: last_session_at (UTC time): start of its last session; where none started, when the last was invoked
-- column: time_to_live_p50_seconds (seconds): median of started - invoked; a start noted before it counts as 0
-- column: time_to_live_p95_seconds (seconds): 95th percentile of the same
-- column: is_never_watched (flag): it went live in the month and nobody watched; NULL where that is unknown
-- column: best_place (place): the best of its places in the month, by viewer_seconds, ingest_seconds and sessions, in its app
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
        -- a session that never started was fed nothing; one that started and reports nothing is unknown
        CASE WHEN started_at IS NULL THEN coalesce(ingest_seconds, 0) ELSE ingest_seconds END AS ingest,
        CASE WHEN started_at IS NULL THEN coalesce(viewer_seconds, 0) ELSE viewer_seconds END AS viewed,
        coalesce(stopped_at, CASE WHEN is_live THEN fetched_at END) AS ended_at
    FROM core.livestream_sessions
),
performance AS (
    SELECT
        app_id,
        livestream_id,
        month,
        count(*) AS sessions,
        count(*) FILTER (WHERE err_message <> '') AS failed_sessions,
        sum(ingest) AS ingest_seconds,
        sum(viewed) AS viewer_seconds,
        max(epoch(ended_at - started_at)) FILTER (WHERE ended_at >= started_at) AS longest_session_seconds,
        coalesce(min(started_at), min(coalesce(invoked_at, created_at))) AS first_session_at,
        coalesce(max(started_at), max(coalesce(invoked_at, created_at))) AS last_session_at,
        quantile_cont(greatest(epoch(started_at - invoked_at), 0), [0.5, 0.95])
            FILTER (WHERE started_at IS NOT NULL AND invoked_at IS NOT NULL) AS times_to_live,
        count(started_at) > 0 AS went_live
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
    performance.viewer_seconds / nullif(performance.ingest_seconds, 0) AS average_concurrent_viewers,
    performance.longest_session_seconds,
    performance.first_session_at,
    performance.last_session_at,
    performance.times_to_live[1] AS time_to_live_p50_seconds,
    performance.times_to_live[2] AS time_to_live_p95_seconds,
    performance.went_live AND performance.viewer_seconds = 0 AS is_never_watched,
    least(
        row_number() OVER (of_month ORDER BY performance.viewer_seconds DESC NULLS LAST, performance.livestream_id),
        row_number() OVER (of_month ORDER BY performance.ingest_seconds DESC NULLS LAST, performance.livestream_id),
        row_number() OVER (of_month ORDER BY performance.sessions DESC, performance.livestream_id)
    ) AS best_place,
    held.days_known,
    day(last_day(performance.month)) AS days_in_month
FROM performance
INNER JOIN held ON performance.app_id = held.app_id AND performance.month = held.month
LEFT JOIN core.livestreams AS livestreams
    ON performance.app_id = livestreams.app_id AND performance.livestream_id = livestreams.livestream_id
WINDOW of_month AS (PARTITION BY performance.app_id, performance.month)

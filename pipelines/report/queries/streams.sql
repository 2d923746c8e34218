-- Sessions of each livestream by day, for at most $stream_rows rows: the livestreams that ranked highest in any month of
-- their app, by watch time, ingest or sessions. The page shows the rest as one line.
WITH ranked AS (
    SELECT
        app_id,
        livestream_id,
        -- a livestream has a row for each day with a session
        sum(sum(days_active)) OVER (ORDER BY min(best_place), app_id, livestream_id) AS rows_so_far
    FROM marts.livestream_performance
    WHERE month >= date_trunc('month', $first)
    GROUP BY app_id, livestream_id
),
sessions AS (
    SELECT
        session.app_id,
        session.livestream_id,
        session.day,
        count(*) AS sessions,
        count(*) FILTER (WHERE session.is_failed) AS failed,
        count(session.started_at) AS started,
        sum_reported(session.ingest_seconds, session.started_at) AS ingest_seconds,
        sum_reported(session.viewer_seconds, session.started_at) AS viewer_seconds,
        -- sessions that count for the sum
        count(session.ingest_seconds) FILTER (WHERE is_reported(session.ingest_seconds, session.started_at)) AS ingest_reports,
        count(session.viewer_seconds) FILTER (WHERE is_reported(session.viewer_seconds, session.started_at)) AS viewer_reports,
        sum_paired(session.ingest_seconds, session.viewer_seconds) AS paired_ingest_seconds,
        sum_paired(session.viewer_seconds, session.ingest_seconds) AS paired_viewer_seconds
    FROM core.livestream_sessions AS session
    INNER JOIN ranked
        ON session.app_id = ranked.app_id
        AND session.livestream_id = ranked.livestream_id
        AND ranked.rows_so_far <= $stream_rows
    WHERE session.day >= $first
    GROUP BY session.app_id, session.livestream_id, session.day
)
SELECT
    apps.app,
    sessions.livestream_id,
    left(streams.name, 200) AS name,
    date_diff('day', $first, sessions.day) AS day,
    sessions.sessions,
    sessions.failed,
    round(reported_figure(sessions.ingest_seconds, sessions.started, true), 2) AS ingest_seconds,
    round(reported_figure(sessions.viewer_seconds, sessions.started, true), 2) AS viewer_seconds,
    -- over several days a sum is known where no session started or one reports it, as in marts.livestream_performance
    sessions.started,
    sessions.ingest_reports,
    sessions.viewer_reports,
    -- of sessions that report both; NULL where it equals the sum
    CASE WHEN sessions.paired_ingest_seconds IS DISTINCT FROM sessions.ingest_seconds
        THEN round(coalesce(sessions.paired_ingest_seconds, 0), 2) END AS paired_ingest,
    CASE WHEN sessions.paired_viewer_seconds IS DISTINCT FROM sessions.viewer_seconds
        THEN round(coalesce(sessions.paired_viewer_seconds, 0), 2) END AS paired_viewer
FROM sessions
INNER JOIN apps ON sessions.app_id = apps.app_id
LEFT JOIN core.livestreams AS streams
    ON sessions.app_id = streams.app_id AND sessions.livestream_id = streams.livestream_id
ORDER BY apps.app, sessions.livestream_id, sessions.day

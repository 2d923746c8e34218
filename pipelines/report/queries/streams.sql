-- Each livestream and day with a session. At most $stream_rows rows: of more, those of the livestreams that ranked
-- highest in any one month of their app, by watch time, ingest or sessions; the page shows the rest as one line.
WITH ranked AS (
    SELECT
        app_id,
        livestream_id,
        -- a livestream has no more rows than sessions
        sum(sum(sessions)) OVER (ORDER BY min(best_place), app_id, livestream_id) AS rows_so_far
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
        count(*) FILTER (WHERE session.err_message <> '') AS failed,
        -- as in marts.daily_usage: never started was fed nothing; started and reporting nothing is unknown
        sum(CASE WHEN session.started_at IS NULL THEN coalesce(session.ingest_seconds, 0) ELSE session.ingest_seconds END)
            AS ingest_seconds,
        sum(CASE WHEN session.started_at IS NULL THEN coalesce(session.viewer_seconds, 0) ELSE session.viewer_seconds END)
            AS viewer_seconds
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
    round(sessions.ingest_seconds, 2) AS ingest_seconds,
    round(sessions.viewer_seconds, 2) AS viewer_seconds
FROM sessions
INNER JOIN apps ON sessions.app_id = apps.app_id
LEFT JOIN core.livestreams AS streams
    ON sessions.app_id = streams.app_id AND sessions.livestream_id = streams.livestream_id
ORDER BY apps.app, sessions.livestream_id, sessions.day

-- Each livestream and day with a session. At most $stream_rows rows: of more, those of the livestreams that ranked
-- highest in any one week of their app, by watch time, ingest or sessions; the page shows the rest as one line.
WITH sessions AS (
    SELECT
        app_id,
        livestream_id,
        day,
        count(*) AS sessions,
        count(*) FILTER (WHERE err_message <> '') AS failed,
        -- as in marts.daily_usage: never started was fed nothing; started and reporting nothing is unknown
        sum(CASE WHEN started_at IS NULL THEN coalesce(ingest_seconds, 0) ELSE ingest_seconds END) AS ingest_seconds,
        sum(CASE WHEN started_at IS NULL THEN coalesce(viewer_seconds, 0) ELSE viewer_seconds END) AS viewer_seconds
    FROM core.livestream_sessions
    GROUP BY app_id, livestream_id, day
),
weeks AS (
    SELECT
        app_id,
        livestream_id,
        date_trunc('week', day) AS week,
        sum(viewer_seconds) AS viewer_seconds,
        sum(ingest_seconds) AS ingest_seconds,
        sum(sessions) AS sessions
    FROM sessions
    GROUP BY app_id, livestream_id, date_trunc('week', day)
),
placed AS (
    SELECT
        app_id,
        livestream_id,
        least(
            row_number() OVER (PARTITION BY app_id, week ORDER BY viewer_seconds DESC NULLS LAST, livestream_id),
            row_number() OVER (PARTITION BY app_id, week ORDER BY ingest_seconds DESC NULLS LAST, livestream_id),
            row_number() OVER (PARTITION BY app_id, week ORDER BY sessions DESC, livestream_id)
        ) AS place
    FROM weeks
),
best AS (
    SELECT app_id, livestream_id, min(place) AS place
    FROM placed
    GROUP BY app_id, livestream_id
),
ranked AS (
    SELECT
        sessions.app_id,
        sessions.livestream_id,
        sum(count(*)) OVER (ORDER BY min(best.place), sessions.app_id, sessions.livestream_id) AS rows_so_far
    FROM sessions
    INNER JOIN best ON sessions.app_id = best.app_id AND sessions.livestream_id = best.livestream_id
    GROUP BY sessions.app_id, sessions.livestream_id
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
INNER JOIN ranked
    ON sessions.app_id = ranked.app_id
    AND sessions.livestream_id = ranked.livestream_id
    AND ranked.rows_so_far <= $stream_rows
INNER JOIN apps ON sessions.app_id = apps.app_id
LEFT JOIN core.livestreams AS streams
    ON sessions.app_id = streams.app_id AND sessions.livestream_id = streams.livestream_id
ORDER BY apps.app, sessions.livestream_id, sessions.day

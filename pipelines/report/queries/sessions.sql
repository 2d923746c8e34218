-- Sessions one by one, by livestream and time: all since $sessions_first, and failed ones since $failures_first. Times are in
-- seconds. session_id: NULL of sessions that ended well, to keep the page small.
WITH listed AS (
    SELECT
        *,
        coalesce(started_at, invoked_at, created_at) AS begun_at,
        CASE
            WHEN is_failed AND started_at IS NULL THEN 'failed_before_live'
            WHEN is_failed THEN 'failed_after_live'
            WHEN started_at IS NULL AND is_provisional THEN 'not_live_yet'
            WHEN started_at IS NULL THEN 'never_live'
            WHEN is_provisional THEN 'on_air'
            ELSE 'ended'
        END AS state
    FROM core.livestream_sessions
    WHERE day >= $sessions_first OR (is_failed AND day >= $failures_first)
)
SELECT
    apps.app,
    listed.livestream_id,
    left(streams.name, 200) AS name,
    left(streams.status, 60) AS status,
    CAST(floor(epoch(streams.created_at)) AS BIGINT) AS created_at,
    date_diff('day', $first, listed.day) AS day,
    -- since the beginning of the day, which is that of the creation
    CAST(floor(epoch(listed.begun_at)) AS BIGINT) - CAST(epoch(listed.day) AS BIGINT) AS begun,
    CASE WHEN listed.started_at IS NOT NULL
        THEN CAST(round(epoch(listed.ended_at) - epoch(listed.begun_at)) AS BIGINT) END AS length,
    CAST(round(listed.time_to_live_seconds * 1000) AS BIGINT) AS wait,
    round(listed.ingest_seconds, 2) AS ingest_seconds,
    round(listed.viewer_seconds, 2) AS viewer_seconds,
    listed.state,
    CASE WHEN listed.is_failed THEN left(listed.err_message, $message_length) END AS message,
    CASE WHEN listed.state <> 'ended' THEN listed.session_id END AS session_id
FROM listed
INNER JOIN apps ON listed.app_id = apps.app_id
LEFT JOIN core.livestreams AS streams
    ON listed.app_id = streams.app_id AND listed.livestream_id = streams.livestream_id
ORDER BY apps.app, listed.livestream_id, listed.day, begun, listed.session_id

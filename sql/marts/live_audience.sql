-- Viewers of each stream by minute: the increase of a session's viewer seconds between two observations, divided by the time
-- between them. The first observation of a session counts from its start, which follows from its ingest seconds.
-- The increase is never negative. If viewer seconds decrease, either the feed restarted in between (its ingest seconds fit
-- between the two observations), and counts from there, or the response was an older one, and is skipped.
-- Minutes between observations more than five minutes apart are unknown: they have no row. Where observations are kept by
-- hour only, a row covers an hour.
-- In the first minute of a session the API returns 60 and 60 as placeholders for its figures: they are skipped (see
-- live/observations.py), and the first real figures count from the start. For observations that an earlier version thinned to
-- hours, up to 3 % of the time watched around a full hour may be in the hour next to it.
-- grain: app_id, livestream_id, minute, day
-- affects: day - 1, day + 1
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day of the minute
-- column: livestream_id (id): livestream, see core.livestreams
-- column: minute (UTC time): start of the minute; start of the hour if only hours are known
-- column: span_minutes (minutes): 1, or 60 if only hours are known
-- column: observed_seconds (seconds): time within it that observations cover
-- column: observed_from (UTC time): start of the time within it that observations cover
-- column: observed_until (UTC time): end of that time
-- column: viewer_seconds (seconds): time watched within it, summed over viewers
-- column: average_concurrent_viewers (viewers): viewer_seconds / observed_seconds
-- An observation counts on its own day, and is also read for the days next to it, where it shows the figures at midnight.
-- Three hours are enough: observations kept by hour are at most two hours apart.
WITH nearby AS (
    SELECT day, app_id, livestream_id, session_id, observed_at, started_at, ingest_seconds, viewer_seconds, is_thinned
    FROM core.live_observations
    WHERE viewer_seconds IS NOT NULL
    UNION ALL
    SELECT day + 1 AS day, app_id, livestream_id, session_id, observed_at, started_at, ingest_seconds, viewer_seconds, is_thinned
    FROM core.live_observations
    WHERE viewer_seconds IS NOT NULL AND hour(observed_at) >= 21
    UNION ALL
    SELECT day - 1 AS day, app_id, livestream_id, session_id, observed_at, started_at, ingest_seconds, viewer_seconds, is_thinned
    FROM core.live_observations
    WHERE viewer_seconds IS NOT NULL AND hour(observed_at) < 3
),
-- Rows of earlier versions contain placeholders and no start of the session: figures that decrease later are placeholders.
observed AS (
    SELECT *
    FROM nearby
    QUALIFY NOT coalesce(
        ingest_seconds = 60 AND viewer_seconds = 60 AND (
            coalesce(observed_at < started_at + INTERVAL 70 SECOND, true)
            OR min(viewer_seconds) OVER (
                PARTITION BY day, app_id, livestream_id, session_id
                ORDER BY observed_at
                ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
            ) < 60
        ),
        false
    )
),
restarts AS (
    SELECT
        *,
        viewer_seconds < lag(viewer_seconds) OVER observations
        AND ingest_seconds <= epoch(observed_at - lag(observed_at) OVER observations) AS is_restart
    FROM observed
    WINDOW observations AS (PARTITION BY day, app_id, livestream_id, session_id ORDER BY observed_at)
),
feeds AS (
    SELECT
        *,
        count(*) FILTER (WHERE is_restart) OVER (
            PARTITION BY day, app_id, livestream_id, session_id
            ORDER BY observed_at
            ROWS UNBOUNDED PRECEDING
        ) AS feed
    FROM restarts
),
answers AS (
    SELECT
        *,
        viewer_seconds < max(viewer_seconds) OVER (
            PARTITION BY day, app_id, livestream_id, session_id, feed
            ORDER BY observed_at
            ROWS UNBOUNDED PRECEDING
        ) AS is_stale
    FROM feeds
),
spans AS (
    SELECT
        day,
        app_id,
        livestream_id,
        is_thinned AND lag(observed_at) OVER observations IS NOT NULL AS is_unbroken,
        -- more than an hour is a gap anyway, and could exceed the range of an interval
        coalesce(
            lag(observed_at) OVER observations,
            observed_at - to_microseconds(CAST(least(ingest_seconds, 3600) * 1e6 AS BIGINT))
        ) AS begins,
        observed_at AS ends,
        viewer_seconds - coalesce(lag(viewer_seconds) OVER observations, 0) AS viewer_seconds
    FROM answers
    WHERE NOT is_stale
    WINDOW observations AS (PARTITION BY day, app_id, livestream_id, session_id, feed ORDER BY observed_at)
),
known AS (
    SELECT *, is_gap(ends - begins) AS is_long
    FROM spans
    WHERE begins < ends AND (NOT is_gap(ends - begins) OR is_unbroken)
),
-- the part of each span within each minute, or within each hour if the span is long
pieces AS (
    SELECT
        day,
        app_id,
        livestream_id,
        is_long,
        bucket,
        greatest(begins, bucket) AS observed_from,
        least(ends, bucket + width) AS observed_until,
        overlap_seconds(begins, ends, bucket, bucket + width) AS seconds,
        viewer_seconds / epoch(ends - begins) AS viewers
    FROM (
        SELECT *, unnest(range(date_trunc('minute', begins), ends, INTERVAL 1 MINUTE)) AS bucket, INTERVAL 1 MINUTE AS width
        FROM known
        WHERE NOT is_long
        UNION ALL
        SELECT *, unnest(range(date_trunc('hour', begins), ends, INTERVAL 1 HOUR)) AS bucket, INTERVAL 1 HOUR AS width
        FROM known
        WHERE is_long
    ) AS cut
),
placed AS (
    SELECT
        * EXCLUDE (is_long),
        bool_or(is_long) OVER (PARTITION BY day, app_id, livestream_id, date_trunc('hour', bucket)) AS is_by_hour
    FROM pieces
    WHERE CAST(bucket AS DATE) = day
)
SELECT
    placed.app_id,
    placed.day,
    placed.livestream_id,
    CASE WHEN placed.is_by_hour THEN date_trunc('hour', placed.bucket) ELSE placed.bucket END AS minute,
    CASE WHEN placed.is_by_hour THEN 60.0::DOUBLE ELSE 1.0::DOUBLE END AS span_minutes,
    sum(placed.seconds) AS observed_seconds,
    min(placed.observed_from) AS observed_from,
    max(placed.observed_until) AS observed_until,
    finite(sum(placed.seconds * placed.viewers)) AS viewer_seconds,
    finite(sum(placed.seconds * placed.viewers) / sum(placed.seconds)) AS average_concurrent_viewers
FROM placed
INNER JOIN ops.days AS loaded
    ON loaded.table_name = 'core.live_observations' AND loaded.app_id = placed.app_id AND loaded.day = placed.day
GROUP BY ALL

-- How many watched each stream, by the minute: between two observations of a session, what its viewer seconds grew by, over
-- the time between. A session's first row counts from its start, by the seconds it had been fed in. Never negative: when
-- viewer seconds go back, the feed either started anew since (its seconds fed in fit between the two observations) and is
-- counted from there, or the answer was an older one, and is passed over. Observations more than five minutes apart leave
-- the minutes between unknown: there is no row for them. Where observations are kept by the hour only, a row is of an hour.
-- In its first minute the API gives 60 and 60 as placeholders for a session's figures: they tell nothing, and are passed over
-- (see live/observations.py); the first real figures count from the start. Of observations thinned to hours by an
-- earlier version, what was watched around a full hour may be up to 3 % in the hour beside it.
-- grain: app_id, livestream_id, minute, day
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day of the minute
-- column: livestream_id (id): livestream, see core.livestreams
-- column: minute (UTC time): first moment of the minute; of the hour, where only hours are known
-- column: span_minutes (minutes): 1, or 60 where only hours are known
-- column: observed_seconds (seconds): time within it that observations tell of
-- column: observed_from (UTC time): first moment within it that observations tell of
-- column: observed_until (UTC time): last such moment
-- column: viewer_seconds (seconds): time watched within it, summed over viewers
-- column: average_concurrent_viewers (viewers): viewer_seconds / observed_seconds
-- An observation counts on its own day, and stands by on the day beside it, where it tells how far things had gone at
-- midnight. Three hours are enough: rows kept by the hour are at most two apart.
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
-- rows of earlier versions hold placeholders, without the start of their session; others are placeholders since they fall
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
        viewer_seconds < lag(viewer_seconds) OVER looks
        AND ingest_seconds <= epoch(observed_at - lag(observed_at) OVER looks) AS is_restart
    FROM observed
    WINDOW looks AS (PARTITION BY day, app_id, livestream_id, session_id ORDER BY observed_at)
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
        is_thinned AND lag(observed_at) OVER looks IS NOT NULL AS is_unbroken,
        -- more than an hour is too long to count anyway, and could be more than an interval holds
        coalesce(
            lag(observed_at) OVER looks,
            observed_at - to_microseconds(CAST(least(ingest_seconds, 3600) * 1e6 AS BIGINT))
        ) AS begins,
        observed_at AS ends,
        viewer_seconds - coalesce(lag(viewer_seconds) OVER looks, 0) AS viewer_seconds
    FROM answers
    WHERE NOT is_stale
    WINDOW looks AS (PARTITION BY day, app_id, livestream_id, session_id, feed ORDER BY observed_at)
),
known AS (
    SELECT *, ends - begins > INTERVAL 5 MINUTE AS is_long
    FROM spans
    WHERE begins < ends AND (ends - begins <= INTERVAL 5 MINUTE OR is_unbroken)
),
-- what of each span lies within each minute, or within each hour where the span is long
pieces AS (
    SELECT
        day,
        app_id,
        livestream_id,
        is_long,
        bucket,
        greatest(begins, bucket) AS observed_from,
        least(ends, bucket + width) AS observed_until,
        epoch(least(ends, bucket + width) - greatest(begins, bucket)) AS seconds,
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
    nullif(sum(placed.seconds * placed.viewers), 'inf') AS viewer_seconds,
    nullif(sum(placed.seconds * placed.viewers) / sum(placed.seconds), 'inf') AS average_concurrent_viewers
FROM placed
INNER JOIN ops.days AS held
    ON held.table_name = 'core.live_observations' AND held.app_id = placed.app_id AND held.day = placed.day
GROUP BY ALL

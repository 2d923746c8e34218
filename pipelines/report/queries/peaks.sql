-- Most streams on air at one moment of each day, all apps together: the peaks of apps do not add up to it. On air as in
-- marts.stream_concurrency: from start to stop; to when last received while live; else to when the record last changed.
WITH spans AS (
    SELECT
        started_at,
        coalesce(stopped_at, CASE WHEN is_live THEN fetched_at ELSE updated_at END) AS ended_at
    FROM core.livestream_sessions
    WHERE started_at IS NOT NULL AND ended_at > started_at
),
pieces AS (
    SELECT
        day,
        greatest(started_at, day) AS begins,
        least(ended_at, day + INTERVAL 1 DAY) AS ends
    FROM (
        SELECT
            *,
            unnest(range(date_trunc('day', started_at)::TIMESTAMP, ended_at, INTERVAL 1 DAY))::DATE AS day
        FROM spans
    ) AS days_of_span
),
changes AS (
    SELECT day, begins AS moment, 1 AS change
    FROM pieces
    UNION ALL
    SELECT day, ends AS moment, -1 AS change
    FROM pieces
),
levels AS (
    SELECT
        day,
        moment,
        -- of changes at the same moment, ends come first
        sum(change) OVER (PARTITION BY day ORDER BY moment, change ROWS UNBOUNDED PRECEDING) AS on_air
    FROM changes
),
held AS (
    SELECT DISTINCT day
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions' AND is_known
)
SELECT
    date_diff('day', $first, held.day) AS day,
    CAST(coalesce(max(levels.on_air), 0) AS BIGINT) AS peak,
    epoch_ms(arg_min(levels.moment, (-levels.on_air, levels.moment))) AS peak_at
FROM held
LEFT JOIN levels ON held.day = levels.day
GROUP BY held.day
ORDER BY held.day

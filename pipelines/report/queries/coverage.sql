-- Coverage of each app and fact table, as ranges of days in the same state:
--   known        loaded after the day was over, every session ended
--   provisional  loaded before the day was over, or a session had not ended: the figures will still change
--   unknown      the source did not keep the day any more when it was loaded
--   gap          not loaded, although the app has earlier and later days in this or another table, or nightly runs have tried
--                in vain to load it (ops.missing_days: attempts, tried_at)
-- A day outside all ranges is before the app's first day or after its last.
WITH tables AS (SELECT unnest($tables::VARCHAR[]) AS table_name),
loaded AS (
    SELECT
        days.app_id,
        days.table_name,
        days.day,
        CASE
            WHEN NOT days.is_known THEN 'unknown'
            WHEN NOT is_after_day(days.loaded_at, days.day)
                OR days.table_name = 'core.livestream_sessions' AND usage.provisional_sessions > 0 THEN 'provisional'
            ELSE 'known'
        END AS state
    FROM ops.days AS days
    INNER JOIN tables ON days.table_name = tables.table_name
    LEFT JOIN marts.daily_usage AS usage ON days.app_id = usage.app_id AND days.day = usage.day
),
spans AS (
    SELECT app_id, greatest(min(day), $first) AS first_day, least(max(day), $last) AS last_day
    FROM (
        SELECT app_id, day
        FROM loaded
        UNION ALL
        SELECT app_id, day
        FROM ops.missing_days
    ) AS days
    GROUP BY app_id
),
calendar AS (
    SELECT app_id, CAST(unnest(range(first_day, last_day + INTERVAL 1 DAY, INTERVAL 1 DAY)) AS DATE) AS day
    FROM spans
),
states AS (
    SELECT
        calendar.app_id,
        calendar.day,
        tables.table_name,
        coalesce(loaded.state, 'gap') AS state,
        missing.attempts,
        missing.tried_at
    FROM calendar
    CROSS JOIN tables
    LEFT JOIN loaded
        ON calendar.app_id = loaded.app_id AND calendar.day = loaded.day AND tables.table_name = loaded.table_name
    LEFT JOIN ops.missing_days AS missing ON calendar.app_id = missing.app_id AND calendar.day = missing.day
),
numbered AS (
    SELECT
        *,
        -- the same for days that follow each other in the same state
        day - CAST(row_number() OVER (PARTITION BY app_id, table_name, state ORDER BY day) AS INTEGER) AS range_number
    FROM states
)
SELECT
    apps.app,
    numbered.table_name,
    numbered.state,
    date_diff('day', $first, min(numbered.day)) AS first_day,
    date_diff('day', $first, max(numbered.day)) AS last_day,
    max(numbered.attempts) FILTER (WHERE numbered.state = 'gap') AS attempts,
    epoch_ms(max(numbered.tried_at) FILTER (WHERE numbered.state = 'gap')) AS tried_at
FROM numbered
INNER JOIN apps ON numbered.app_id = apps.app_id
GROUP BY apps.app, numbered.table_name, numbered.state, numbered.range_number
ORDER BY apps.app, numbered.table_name, first_day

-- How long do livestreams keep being used and watched after their first session, by weeks of age?
-- param: weeks (count) = 12: weeks of age to show
WITH sessions AS (
    SELECT
        app_id,
        livestream_id,
        viewer_seconds,
        CAST(floor((day - min(day) OVER (PARTITION BY app_id, livestream_id)) / 7) AS INTEGER) AS week_of_age
    FROM core.livestream_sessions
    WHERE livestream_id IS NOT NULL
),
-- how old each livestream is on the last day loaded
ages AS (
    SELECT
        app_id,
        livestream_id,
        CAST(
            floor(
                (
                    (SELECT max(day) FROM ops.days WHERE table_name = 'core.livestream_sessions') - min(day)
                ) / 7
            ) AS INTEGER
        ) AS oldest_week
    FROM core.livestream_sessions
    WHERE livestream_id IS NOT NULL
    GROUP BY app_id, livestream_id
),
weeks AS (
    SELECT app_id, unnest(range(0, oldest_week + 1)) AS week_of_age, livestream_id FROM ages
),
used AS (
    SELECT app_id, livestream_id, week_of_age, sum(viewer_seconds) AS viewer_seconds
    FROM sessions
    GROUP BY app_id, livestream_id, week_of_age
)
SELECT
    weeks.app_id,
    weeks.week_of_age,
    count(*) AS livestreams_of_that_age,
    count(used.livestream_id) AS livestreams_used,
    round(100 * count(used.livestream_id) / count(*), 1) AS used_percent,
    CASE WHEN count(used.livestream_id) > 0 THEN nullif(round(sum(used.viewer_seconds) / 3600, 1), 'inf') ELSE 0 END AS viewer_hours
FROM weeks
LEFT JOIN used
    ON weeks.app_id = used.app_id
    AND weeks.livestream_id = used.livestream_id
    AND weeks.week_of_age = used.week_of_age
WHERE weeks.week_of_age < CAST($weeks AS INTEGER)
GROUP BY weeks.app_id, weeks.week_of_age
ORDER BY weeks.app_id, weeks.week_of_age

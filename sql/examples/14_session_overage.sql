-- Which sessions of a month exceeded the viewer hours included in an event, and what does the excess cost?
-- param: month (YYYY-MM) = NULL: the month to show, by default the latest
-- param: included_hours (hours) = 0: viewer hours that are included in each session
-- param: dollars_per_hour (US dollars) = 0.06: the price of each viewer hour beyond
-- param: rows (count) = 20: the number of sessions to show
WITH watched AS (
    SELECT
        *,
        viewer_seconds / 3600 AS viewer_hours,
        viewer_seconds / 3600 - CAST($included_hours AS DOUBLE) AS hours_beyond
    FROM core.livestream_sessions
    WHERE
        date_trunc('month', day)
        = coalesce(CAST($month || '-01' AS DATE), (SELECT date_trunc('month', max(day)) FROM core.livestream_sessions))
)
SELECT
    watched.app_id,
    watched.session_id,
    watched.day,
    livestreams.name,
    round(watched.viewer_hours, 2) AS viewer_hours,
    round(watched.hours_beyond, 2) AS hours_beyond,
    round(watched.hours_beyond * CAST($dollars_per_hour AS DOUBLE), 2) AS dollars,
    -- a session that has not ended may still grow
    watched.is_provisional
FROM watched
LEFT JOIN core.livestreams AS livestreams
    ON watched.app_id = livestreams.app_id AND watched.livestream_id = livestreams.livestream_id
WHERE watched.hours_beyond > 0
ORDER BY watched.hours_beyond DESC, watched.app_id, watched.session_id
LIMIT CAST($rows AS BIGINT)

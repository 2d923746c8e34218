-- On which of the last days loaded did an app stream nothing, although it usually does on that weekday?
-- param: weeks (count) = 8: the number of weeks to look at, up to the last day loaded
WITH days AS (
    SELECT day, app_id, sessions, is_settled, median(sessions) OVER (PARTITION BY app_id, isodow(day)) AS usual_sessions
    FROM marts.daily_usage
    WHERE day > (SELECT max(day) - 7 * CAST($weeks AS INTEGER) FROM marts.daily_usage)
)
SELECT
    day,
    dayname(day) AS weekday,
    app_id,
    -- the median of that weekday; unknown days count neither here nor as quiet
    usual_sessions,
    -- false: the day was not over when it was loaded, or a livestream could not be read
    is_settled
FROM days
WHERE sessions = 0 AND usual_sessions > 0
ORDER BY day DESC, app_id

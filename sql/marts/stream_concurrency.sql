-- Concurrent streams by day. A session is on air from its start until its end (exclusive, see
-- core.livestream_sessions.ended_at). A session that was on air when last fetched counts until then; one whose end is unknown
-- does not count. A session that runs past midnight counts on each day it touches. Streams that began on a day that is not
-- loaded are missing, so the figures of the first loaded day, and of days after a gap, are lower bounds.
-- Concurrent viewers cannot be computed from sessions. They are known for minutes that were observed (marts.live_audience),
-- and only by hour once observations are thinned to hours. That lowers a peak: half an hour with 100 viewers and half an hour
-- with none becomes an hour with 50.
-- A figure is NULL if the day's sessions are unknown, and 0 if they are known and nothing was on air.
-- grain: app_id, day
-- affects: first_day_reached, last_day_reached
-- headline_metric: stream_hours
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day that core.livestream_sessions has
-- column: peak_concurrent_streams (count): most sessions on air at the same time
-- column: peak_at (UTC time): first time at which that many were on air; NULL if none was
-- column: stream_hours (hours): time on air within the day, summed over sessions
-- column: average_concurrent_streams (streams): stream_hours / hours of the day until it was loaded: 24 after its end
-- column: busiest_hour (hour of the day, 0 to 23, UTC): hour with the most time on air; of several, the first
-- column: busiest_hour_stream_hours (hours): time on air in that hour, summed over sessions
-- column: peak_concurrent_viewers (viewers): most concurrent viewers of all streams, averaged over the observed part of a minute (or hour); NULL if unobserved
-- column: viewers_peak_at (UTC time): first such minute or hour
-- column: account_peak_concurrent_streams (count): most concurrent sessions of all apps in account_apps; the same in each app's row of the day
-- column: account_peak_at (UTC time): first time at which that many were on air; NULL if none was
-- column: account_peak_concurrent_viewers (viewers): most concurrent viewers of all observed apps; NULL if unobserved
-- column: account_viewers_peak_at (UTC time): first such minute or hour
-- column: account_apps (count): apps whose sessions of the day are known; the account's peaks do not include other apps
-- column: first_day_reached (UTC day): first day that a session of this day's partition touches; NULL if none started
-- column: last_day_reached (UTC day): last such day: a change to this day's sessions affects these days
WITH loaded AS (
    SELECT
        app_id,
        day,
        is_known,
        epoch(least(loaded_at, day + INTERVAL 1 DAY) - day) / 3600 AS hours_loaded
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
),
spans AS NOT MATERIALIZED ( -- each use reads only the days it needs
    SELECT
        app_id,
        day AS session_day,
        started_at,
        ended_at,
        is_live,
        on_air_until(is_live, fetched_at, ended_at) AS on_air_until
    FROM core.livestream_sessions
    WHERE started_at IS NOT NULL AND on_air_until > started_at
),
reach AS (
    SELECT
        app_id,
        session_day AS day,
        CAST(min(started_at) AS DATE) AS first_day_reached,
        CAST(max(on_air_until) - INTERVAL 1 MICROSECOND AS DATE) AS last_day_reached
    FROM spans
    GROUP BY app_id, session_day
),
-- The part of each session within each day: the day it starts, then the days it continues. The plain comparisons of
-- started_at and ended_at are implied by the others, but let DuckDB skip the rest of the history.
pieces AS (
    SELECT loaded.app_id, loaded.day, spans.started_at AS begins, least(spans.on_air_until, loaded.day + INTERVAL 1 DAY) AS ends
    FROM loaded
    INNER JOIN spans
        ON loaded.app_id = spans.app_id
        AND loaded.day = CAST(spans.started_at AS DATE)
        AND spans.started_at >= loaded.day
        AND spans.started_at < loaded.day + INTERVAL 1 DAY
    UNION ALL
    SELECT loaded.app_id, loaded.day, loaded.day AS begins, least(spans.on_air_until, loaded.day + INTERVAL 1 DAY) AS ends
    FROM loaded
    INNER JOIN spans ON loaded.app_id = spans.app_id AND spans.started_at < loaded.day AND spans.ended_at > loaded.day
    WHERE CAST(spans.started_at AS DATE) < CAST(spans.ended_at AS DATE)
    UNION ALL
    SELECT loaded.app_id, loaded.day, loaded.day AS begins, least(spans.on_air_until, loaded.day + INTERVAL 1 DAY) AS ends
    FROM loaded
    INNER JOIN spans ON loaded.app_id = spans.app_id AND spans.started_at < loaded.day AND spans.on_air_until > loaded.day
    WHERE spans.ended_at IS NULL
),
hours AS (
    SELECT app_id, day, hour, sum(overlap_seconds(begins, ends, hour_begins, hour_ends)) / 3600 AS stream_hours
    FROM (
        SELECT
            *,
            day + to_hours(hour) AS hour_begins,
            day + to_hours(hour + 1) AS hour_ends
        FROM (
            SELECT *, unnest(range(hour(begins), hour(ends - INTERVAL 1 MICROSECOND) + 1)) AS hour
            FROM pieces
        ) AS pieces_by_hour
    ) AS bounded
    GROUP BY app_id, day, hour
),
busiest AS (
    SELECT
        app_id,
        day,
        sum(stream_hours) AS stream_hours,
        first(hour ORDER BY stream_hours DESC, hour) AS busiest_hour,
        max(stream_hours) AS busiest_hour_stream_hours
    FROM hours
    GROUP BY app_id, day
),
changes AS NOT MATERIALIZED (
    SELECT app_id, day, begins AS moment, 1 AS change
    FROM pieces
    UNION ALL
    SELECT app_id, day, ends AS moment, -1 AS change
    FROM pieces
),
levels AS (
    SELECT
        app_id,
        day,
        moment,
        -- of changes at the same time, ends come first
        sum(change) OVER (PARTITION BY app_id, day ORDER BY moment, change ROWS UNBOUNDED PRECEDING) AS on_air
    FROM changes
),
peaks AS (
    SELECT app_id, day, max(on_air) AS on_air, first_peak_at(moment, on_air) AS moment
    FROM levels
    GROUP BY app_id, day
),
account_levels AS (
    SELECT
        day,
        moment,
        sum(change) OVER (PARTITION BY day ORDER BY moment, change ROWS UNBOUNDED PRECEDING) AS on_air
    FROM changes
),
account_peaks AS (
    SELECT day, max(on_air) AS on_air, first_peak_at(moment, on_air) AS moment
    FROM account_levels
    GROUP BY day
),
observed AS NOT MATERIALIZED (
    SELECT
        app_id,
        day,
        minute,
        observed_from,
        observed_until,
        viewer_seconds,
        -- only figures of equal time ranges add up: if one stream is known by hour only, the hour of all streams is
        bool_or(span_minutes > 1) OVER (PARTITION BY app_id, day, date_trunc('hour', minute)) AS is_by_hour,
        bool_or(span_minutes > 1) OVER (PARTITION BY day, date_trunc('hour', minute)) AS account_is_by_hour
    FROM marts.live_audience
),
audiences AS (
    SELECT
        app_id,
        day,
        CASE WHEN is_by_hour THEN date_trunc('hour', minute) ELSE minute END AS moment,
        observed_viewers(viewer_seconds, observed_from, observed_until) AS viewers
    FROM observed
    GROUP BY app_id, day, moment
),
crowds AS (
    SELECT app_id, day, max(viewers) AS viewers, first_peak_at(moment, viewers) AS moment
    FROM audiences
    GROUP BY app_id, day
),
account_audiences AS (
    SELECT
        day,
        CASE WHEN account_is_by_hour THEN date_trunc('hour', minute) ELSE minute END AS moment,
        observed_viewers(viewer_seconds, observed_from, observed_until) AS viewers
    FROM observed
    GROUP BY day, moment
),
account_crowds AS (
    SELECT day, max(viewers) AS viewers, first_peak_at(moment, viewers) AS moment
    FROM account_audiences
    GROUP BY day
)
SELECT
    loaded.app_id,
    loaded.day,
    CAST(zero_if_known(peaks.on_air, loaded.is_known) AS BIGINT) AS peak_concurrent_streams,
    CASE WHEN loaded.is_known THEN peaks.moment END AS peak_at,
    zero_if_known(busiest.stream_hours, loaded.is_known) AS stream_hours,
    zero_if_known(busiest.stream_hours, loaded.is_known AND loaded.hours_loaded > 0) / loaded.hours_loaded
        AS average_concurrent_streams,
    CASE WHEN loaded.is_known THEN busiest.busiest_hour END AS busiest_hour,
    CASE WHEN loaded.is_known THEN busiest.busiest_hour_stream_hours END AS busiest_hour_stream_hours,
    crowds.viewers AS peak_concurrent_viewers,
    crowds.moment AS viewers_peak_at,
    CAST(zero_if_known(account_peaks.on_air, bool_or(loaded.is_known) OVER (PARTITION BY loaded.day)) AS BIGINT)
        AS account_peak_concurrent_streams,
    account_peaks.moment AS account_peak_at,
    account_crowds.viewers AS account_peak_concurrent_viewers,
    account_crowds.moment AS account_viewers_peak_at,
    count(*) FILTER (WHERE loaded.is_known) OVER (PARTITION BY loaded.day) AS account_apps,
    reach.first_day_reached,
    reach.last_day_reached
FROM loaded
LEFT JOIN peaks ON loaded.app_id = peaks.app_id AND loaded.day = peaks.day
LEFT JOIN busiest ON loaded.app_id = busiest.app_id AND loaded.day = busiest.day
LEFT JOIN crowds ON loaded.app_id = crowds.app_id AND loaded.day = crowds.day
LEFT JOIN account_peaks ON loaded.day = account_peaks.day
LEFT JOIN account_crowds ON loaded.day = account_crowds.day
LEFT JOIN reach ON loaded.app_id = reach.app_id AND loaded.day = reach.day

-- How many streams were on air at once, by day. A session is on air from its start until it ended (not included, see
-- core.livestream_sessions.ended_at); one on air when last received counts until then; one whose end is unknown does not
-- count. A session that runs over midnight counts on each day it touches. Streams that began on a day that is not loaded are
-- missing: figures of the first day loaded, and of days after a gap, are at least so much.
-- How many watched at once cannot be had from sessions: it is known of minutes that were observed (marts.live_audience), and
-- only of hours once observations are thinned to those, which makes a peak lower: half an hour of 100 viewers, and half an
-- hour of none, is then an hour of 50.
-- A figure is NULL where the day's sessions are unknown and 0 where they are known and nothing was on air.
-- grain: app_id, day
-- affects: first_day_reached, last_day_reached
-- drawn: stream_hours
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day that core.livestream_sessions holds
-- column: peak_concurrent_streams (count): most sessions on air at one moment of the day
-- column: peak_at (UTC time): first moment at which that many were on air; NULL where none was
-- column: stream_hours (hours): time on air within the day, summed over sessions
-- column: average_concurrent_streams (streams): stream_hours / hours of the day until it was loaded, 24 once it is over
-- column: busiest_hour (hour of the day, 0 to 23, UTC): hour with the most time on air, the first of several
-- column: busiest_hour_stream_hours (hours): time on air in that hour, summed over sessions
-- column: peak_concurrent_viewers (viewers): most at once, all streams, averaged over what was observed of a minute (or hour); NULL if unobserved
-- column: viewers_peak_at (UTC time): first such minute or hour
-- column: account_peak_concurrent_streams (count): most sessions of all apps of account_apps together; the same in each app's row of the day
-- column: account_peak_at (UTC time): first moment at which that many were on air; NULL where none was
-- column: account_peak_concurrent_viewers (viewers): most viewers of all observed apps together; NULL if unobserved
-- column: account_viewers_peak_at (UTC time): first such minute or hour
-- column: account_apps (count): apps whose sessions of the day are known; those of other apps are not in the account's peaks
-- column: first_day_reached (UTC day): first day that a session of this day's partition touches; NULL where none started
-- column: last_day_reached (UTC day): last such day: when this day is loaded again, those days are built again
WITH held AS (
    SELECT
        app_id,
        day,
        is_known,
        epoch(least(loaded_at, day + INTERVAL 1 DAY) - day) / 3600 AS hours_loaded
    FROM ops.days
    WHERE table_name = 'core.livestream_sessions'
),
spans AS NOT MATERIALIZED ( -- so that each use of it reads only the days it needs
    SELECT
        app_id,
        day AS session_day,
        started_at,
        ended_at,
        is_live,
        CASE WHEN is_live THEN fetched_at ELSE ended_at END AS on_air_until
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
-- What of each session lies within each day: the day it starts, then the days it goes on. The bare comparisons of
-- started_at and ended_at repeat what the others imply: by them DuckDB skips the history that cannot matter.
pieces AS (
    SELECT held.app_id, held.day, spans.started_at AS begins, least(spans.on_air_until, held.day + INTERVAL 1 DAY) AS ends
    FROM held
    INNER JOIN spans
        ON held.app_id = spans.app_id
        AND held.day = CAST(spans.started_at AS DATE)
        AND spans.started_at >= held.day
        AND spans.started_at < held.day + INTERVAL 1 DAY
    UNION ALL
    SELECT held.app_id, held.day, held.day AS begins, least(spans.on_air_until, held.day + INTERVAL 1 DAY) AS ends
    FROM held
    INNER JOIN spans ON held.app_id = spans.app_id AND spans.started_at < held.day AND spans.ended_at > held.day
    WHERE CAST(spans.started_at AS DATE) < CAST(spans.ended_at AS DATE)
    UNION ALL
    SELECT held.app_id, held.day, held.day AS begins, least(spans.on_air_until, held.day + INTERVAL 1 DAY) AS ends
    FROM held
    INNER JOIN spans ON held.app_id = spans.app_id AND spans.started_at < held.day AND spans.on_air_until > held.day
    WHERE spans.ended_at IS NULL
),
hours AS (
    SELECT app_id, day, hour, sum(epoch(least(ends, hour_ends) - greatest(begins, hour_begins))) / 3600 AS stream_hours
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
        -- of changes at the same moment, ends come first
        sum(change) OVER (PARTITION BY app_id, day ORDER BY moment, change ROWS UNBOUNDED PRECEDING) AS on_air
    FROM changes
),
peaks AS (
    SELECT app_id, day, max(on_air) AS on_air, arg_min(moment, (-on_air, moment)) AS moment
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
    SELECT day, max(on_air) AS on_air, arg_min(moment, (-on_air, moment)) AS moment
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
        -- streams add up only over the same time: one known by the hour puts all of that hour there
        bool_or(span_minutes > 1) OVER (PARTITION BY app_id, day, date_trunc('hour', minute)) AS is_by_hour,
        bool_or(span_minutes > 1) OVER (PARTITION BY day, date_trunc('hour', minute)) AS account_is_by_hour
    FROM marts.live_audience
),
audiences AS (
    SELECT
        app_id,
        day,
        CASE WHEN is_by_hour THEN date_trunc('hour', minute) ELSE minute END AS moment,
        nullif(sum(viewer_seconds) / epoch(max(observed_until) - min(observed_from)), 'inf') AS viewers
    FROM observed
    GROUP BY app_id, day, moment
),
crowds AS (
    SELECT app_id, day, max(viewers) AS viewers, arg_min(moment, (-viewers, moment)) AS moment
    FROM audiences
    GROUP BY app_id, day
),
account_audiences AS (
    SELECT
        day,
        CASE WHEN account_is_by_hour THEN date_trunc('hour', minute) ELSE minute END AS moment,
        nullif(sum(viewer_seconds) / epoch(max(observed_until) - min(observed_from)), 'inf') AS viewers
    FROM observed
    GROUP BY day, moment
),
account_crowds AS (
    SELECT day, max(viewers) AS viewers, arg_min(moment, (-viewers, moment)) AS moment
    FROM account_audiences
    GROUP BY day
)
SELECT
    held.app_id,
    held.day,
    CASE WHEN held.is_known THEN CAST(coalesce(peaks.on_air, 0) AS BIGINT) END AS peak_concurrent_streams,
    CASE WHEN held.is_known THEN peaks.moment END AS peak_at,
    CASE WHEN held.is_known THEN coalesce(busiest.stream_hours, 0) END AS stream_hours,
    CASE WHEN held.is_known AND held.hours_loaded > 0 THEN coalesce(busiest.stream_hours, 0) / held.hours_loaded END
        AS average_concurrent_streams,
    CASE WHEN held.is_known THEN busiest.busiest_hour END AS busiest_hour,
    CASE WHEN held.is_known THEN busiest.busiest_hour_stream_hours END AS busiest_hour_stream_hours,
    crowds.viewers AS peak_concurrent_viewers,
    crowds.moment AS viewers_peak_at,
    CAST(CASE WHEN bool_or(held.is_known) OVER (PARTITION BY held.day) THEN coalesce(account_peaks.on_air, 0) END AS BIGINT)
        AS account_peak_concurrent_streams,
    account_peaks.moment AS account_peak_at,
    account_crowds.viewers AS account_peak_concurrent_viewers,
    account_crowds.moment AS account_viewers_peak_at,
    count(*) FILTER (WHERE held.is_known) OVER (PARTITION BY held.day) AS account_apps,
    reach.first_day_reached,
    reach.last_day_reached
FROM held
LEFT JOIN peaks ON held.app_id = peaks.app_id AND held.day = peaks.day
LEFT JOIN busiest ON held.app_id = busiest.app_id AND held.day = busiest.day
LEFT JOIN crowds ON held.app_id = crowds.app_id AND held.day = crowds.day
LEFT JOIN account_peaks ON held.day = account_peaks.day
LEFT JOIN account_crowds ON held.day = account_crowds.day
LEFT JOIN reach ON held.app_id = reach.app_id AND held.day = reach.day

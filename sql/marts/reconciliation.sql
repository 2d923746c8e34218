-- The API's own daily totals (overall) compared with the sums of the loaded sessions, by day.
-- The verdict is the first that applies:
--   unknown            no overall figures, the sessions of the day are unknown, or a sum exceeds a DOUBLE
--   unsettled          figures of a session may still change, or either side was fetched before the end of the day (UTC)
--   sessions_missing   overall has more ingest seconds, viewer seconds or sessions
--   overall_behind     the sessions have more
--   match              neither has more
-- Differences that rounding explains do not count: the API may round each session or the total, down, up or to the nearest
-- second. A whole total matches any sum between the sessions rounded down and rounded up; a total with a fraction is not
-- rounded. Figures outside of that differ if they do so by more than 0.5 seconds + 0.000001 (1e-6) of the larger one; by how
-- much is in unexplained_…. A missing session of a few seconds is therefore visible only in the session count, if the API
-- gives one; that count may or may not include sessions that never started. extract_sessions uses this query to find days
-- with missing sessions. livestream_count is listed but not compared: its definition is not documented.
-- grain: app_id, day
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day that either side has
-- column: overall_ingest_seconds (seconds): time streams were fed in, from overall
-- column: sessions_ingest_seconds (seconds): the same from the sessions; those that report no figure add nothing
-- column: ingest_seconds_difference (seconds): overall minus sessions
-- column: unexplained_ingest_seconds (seconds): part of the difference that no rounding explains; above zero, overall has more
-- column: overall_viewer_seconds (seconds): time watched, from overall
-- column: sessions_viewer_seconds (seconds): the same from the sessions
-- column: viewer_seconds_difference (seconds): overall minus sessions
-- column: unexplained_viewer_seconds (seconds): part of the difference that no rounding explains
-- column: overall_livestreams (count): livestreams, from overall
-- column: sessions_livestreams (count): livestreams with a session
-- column: livestreams_difference (count): overall minus sessions
-- column: overall_session_count (count): sessions, from livestreams/daywise; NULL if the API does not offer it
-- column: sessions (count): sessions of the day
-- column: sessions_started (count): sessions that went live
-- column: sessions_on_air (count): sessions on air when last fetched
-- column: sessions_provisional (count): sessions whose figures may still change, see marts.daily_usage
-- column: sessions_quarantined (count): session records of the day in ops.quarantine
-- column: verdict (text): match, sessions_missing, overall_behind, unsettled or unknown
-- column: overall_fetched_at (UTC time): when overall was last fetched
-- column: sessions_fetched_at (UTC time): when a session of the day was last fetched
-- column: sessions_loaded_at (UTC time): when the sessions of the day were last loaded
WITH loaded AS (
    SELECT
        app_id,
        day,
        coalesce(bool_or(is_known) FILTER (WHERE table_name = 'core.livestream_sessions'), false) AS has_sessions,
        max(loaded_at) FILTER (WHERE table_name = 'core.livestream_sessions') AS sessions_loaded_at
    FROM ops.days
    WHERE table_name IN ('core.livestream_sessions', 'core.livestream_analytics_daily')
    GROUP BY app_id, day
),
sums AS (
    SELECT
        app_id,
        day,
        count(*) AS sessions,
        count(started_at) AS started,
        count(*) FILTER (WHERE is_live) AS on_air,
        count(DISTINCT livestream_id) AS livestreams,
        coalesce(sum(ingest_seconds), 0) AS ingest_seconds,
        coalesce(sum(floor(ingest_seconds)), 0) AS ingest_rounded_down,
        coalesce(sum(ceil(ingest_seconds)), 0) AS ingest_rounded_up,
        coalesce(sum(viewer_seconds), 0) AS viewer_seconds,
        coalesce(sum(floor(viewer_seconds)), 0) AS viewer_rounded_down,
        coalesce(sum(ceil(viewer_seconds)), 0) AS viewer_rounded_up,
        max(fetched_at) AS fetched_at
    FROM core.livestream_sessions
    GROUP BY app_id, day
),
quarantined AS (
    SELECT app_id, day, count(*) AS records
    FROM ops.quarantine
    WHERE table_name = 'core.livestream_sessions'
    GROUP BY app_id, day
),
sides AS (
    SELECT
        loaded.app_id,
        loaded.day,
        overall.ingest_seconds AS overall_ingest_seconds,
        finite(zero_if_known(sums.ingest_seconds, loaded.has_sessions)) AS sessions_ingest_seconds,
        coalesce(sums.ingest_rounded_down, 0) AS ingest_rounded_down,
        coalesce(sums.ingest_rounded_up, 0) AS ingest_rounded_up,
        overall.viewer_seconds AS overall_viewer_seconds,
        finite(zero_if_known(sums.viewer_seconds, loaded.has_sessions)) AS sessions_viewer_seconds,
        coalesce(sums.viewer_rounded_down, 0) AS viewer_rounded_down,
        coalesce(sums.viewer_rounded_up, 0) AS viewer_rounded_up,
        overall.livestream_count AS overall_livestreams,
        zero_if_known(sums.livestreams, loaded.has_sessions) AS sessions_livestreams,
        overall.session_count AS overall_session_count,
        zero_if_known(sums.sessions, loaded.has_sessions) AS sessions,
        zero_if_known(sums.started, loaded.has_sessions) AS sessions_started,
        zero_if_known(sums.on_air, loaded.has_sessions) AS sessions_on_air,
        usage.provisional_sessions AS sessions_provisional,
        coalesce(quarantined.records, 0) AS sessions_quarantined,
        overall.fetched_at AS overall_fetched_at,
        sums.fetched_at AS sessions_fetched_at,
        loaded.sessions_loaded_at
    FROM loaded
    LEFT JOIN sums ON loaded.app_id = sums.app_id AND loaded.day = sums.day
    LEFT JOIN quarantined ON loaded.app_id = quarantined.app_id AND loaded.day = quarantined.day
    LEFT JOIN marts.daily_usage AS usage ON loaded.app_id = usage.app_id AND loaded.day = usage.day
    LEFT JOIN core.livestream_analytics_daily AS overall ON loaded.app_id = overall.app_id AND loaded.day = overall.day
),
compared AS (
    SELECT
        *,
        overall_ingest_seconds - sessions_ingest_seconds AS ingest_seconds_difference,
        overall_viewer_seconds - sessions_viewer_seconds AS viewer_seconds_difference,
        unexplained_seconds(overall_ingest_seconds, sessions_ingest_seconds, ingest_rounded_down, ingest_rounded_up)
            AS unexplained_ingest_seconds,
        unexplained_seconds(overall_viewer_seconds, sessions_viewer_seconds, viewer_rounded_down, viewer_rounded_up)
            AS unexplained_viewer_seconds
    FROM sides
)
SELECT
    app_id,
    day,
    overall_ingest_seconds,
    sessions_ingest_seconds,
    ingest_seconds_difference + 0.0 AS ingest_seconds_difference,
    unexplained_ingest_seconds,
    overall_viewer_seconds,
    sessions_viewer_seconds,
    viewer_seconds_difference + 0.0 AS viewer_seconds_difference,
    unexplained_viewer_seconds,
    overall_livestreams,
    sessions_livestreams,
    overall_livestreams - sessions_livestreams AS livestreams_difference,
    overall_session_count,
    sessions,
    sessions_started,
    sessions_on_air,
    sessions_provisional,
    sessions_quarantined,
    CASE
        WHEN unexplained_ingest_seconds IS NULL OR unexplained_viewer_seconds IS NULL THEN 'unknown'
        WHEN sessions_provisional > 0
            OR NOT is_after_day(overall_fetched_at, day)
            OR NOT is_after_day(sessions_loaded_at, day) THEN 'unsettled'
        WHEN unexplained_ingest_seconds > 0
            OR unexplained_viewer_seconds > 0
            OR overall_session_count > sessions THEN 'sessions_missing'
        WHEN unexplained_ingest_seconds < 0
            OR unexplained_viewer_seconds < 0
            OR overall_session_count < sessions_started THEN 'overall_behind'
        ELSE 'match'
    END AS verdict,
    overall_fetched_at,
    sessions_fetched_at,
    sessions_loaded_at
FROM compared

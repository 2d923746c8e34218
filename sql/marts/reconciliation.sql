-- The API's own daily totals (overall) beside the sums of the sessions at hand, day by day.
-- verdict, the first that applies:
--   unknown            no overall figures, or the sessions of the day are not known
--   unsettled          a session of the day is still on air, or either side was loaded before the day was over (UTC)
--   sessions_missing   overall says more, of ingest or of viewer seconds
--   overall_behind     the sessions say more
--   match              neither does
-- Figures are the same within 0.5 seconds + 0.000001 (1e-6) of the larger. livestream_count is shown, not judged: what
-- the API counts there is not documented.
-- grain: app_id, day
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day that either side holds
-- column: overall_ingest_seconds (seconds): time streams were fed in, by overall
-- column: sessions_ingest_seconds (seconds): the same by the sessions; those that report no figure add nothing
-- column: ingest_seconds_difference (seconds): overall less sessions
-- column: overall_viewer_seconds (seconds): time watched, by overall
-- column: sessions_viewer_seconds (seconds): the same by the sessions
-- column: viewer_seconds_difference (seconds): overall less sessions
-- column: overall_livestreams (count): livestreams, by overall
-- column: sessions_livestreams (count): livestreams with a session
-- column: livestreams_difference (count): overall less sessions
-- column: sessions (count): sessions of the day
-- column: sessions_on_air (count): of them, those on air when last received
-- column: sessions_quarantined (count): session records of the day that were set aside, see ops.quarantine
-- column: verdict (text): match, sessions_missing, overall_behind, unsettled or unknown
-- column: overall_fetched_at (UTC time): when overall was last received
-- column: sessions_loaded_at (UTC time): when the sessions of the day were last loaded
WITH held AS (
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
        count(*) FILTER (WHERE is_live) AS on_air,
        count(DISTINCT livestream_id) AS livestreams,
        coalesce(sum(ingest_seconds), 0) AS ingest_seconds,
        coalesce(sum(viewer_seconds), 0) AS viewer_seconds
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
        held.app_id,
        held.day,
        overall.ingest_seconds AS overall_ingest_seconds,
        CASE WHEN held.has_sessions THEN coalesce(sums.ingest_seconds, 0) END AS sessions_ingest_seconds,
        overall.viewer_seconds AS overall_viewer_seconds,
        CASE WHEN held.has_sessions THEN coalesce(sums.viewer_seconds, 0) END AS sessions_viewer_seconds,
        overall.livestream_count AS overall_livestreams,
        CASE WHEN held.has_sessions THEN coalesce(sums.livestreams, 0) END AS sessions_livestreams,
        CASE WHEN held.has_sessions THEN coalesce(sums.sessions, 0) END AS sessions,
        CASE WHEN held.has_sessions THEN coalesce(sums.on_air, 0) END AS sessions_on_air,
        coalesce(quarantined.records, 0) AS sessions_quarantined,
        overall.fetched_at AS overall_fetched_at,
        held.sessions_loaded_at
    FROM held
    LEFT JOIN sums ON held.app_id = sums.app_id AND held.day = sums.day
    LEFT JOIN quarantined ON held.app_id = quarantined.app_id AND held.day = quarantined.day
    LEFT JOIN core.livestream_analytics_daily AS overall ON held.app_id = overall.app_id AND held.day = overall.day
),
compared AS (
    SELECT
        *,
        overall_ingest_seconds - sessions_ingest_seconds AS ingest_seconds_difference,
        overall_viewer_seconds - sessions_viewer_seconds AS viewer_seconds_difference,
        0.5 + 1e-6 * greatest(overall_ingest_seconds, sessions_ingest_seconds) AS ingest_tolerance,
        0.5 + 1e-6 * greatest(overall_viewer_seconds, sessions_viewer_seconds) AS viewer_tolerance
    FROM sides
)
SELECT
    app_id,
    day,
    overall_ingest_seconds,
    sessions_ingest_seconds,
    ingest_seconds_difference,
    overall_viewer_seconds,
    sessions_viewer_seconds,
    viewer_seconds_difference,
    overall_livestreams,
    sessions_livestreams,
    overall_livestreams - sessions_livestreams AS livestreams_difference,
    sessions,
    sessions_on_air,
    sessions_quarantined,
    CASE
        WHEN ingest_seconds_difference IS NULL OR viewer_seconds_difference IS NULL THEN 'unknown'
        WHEN sessions_on_air > 0
            OR overall_fetched_at < day + INTERVAL 1 DAY
            OR sessions_loaded_at < day + INTERVAL 1 DAY THEN 'unsettled'
        WHEN ingest_seconds_difference > ingest_tolerance
            OR viewer_seconds_difference > viewer_tolerance THEN 'sessions_missing'
        WHEN ingest_seconds_difference < -ingest_tolerance
            OR viewer_seconds_difference < -viewer_tolerance THEN 'overall_behind'
        ELSE 'match'
    END AS verdict,
    overall_fetched_at,
    sessions_loaded_at
FROM compared

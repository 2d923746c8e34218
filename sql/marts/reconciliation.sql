-- The API's own daily totals (overall) beside the sums of the sessions at hand, day by day.
-- verdict, the first that applies:
--   unknown            no overall figures, or the sessions of the day are not known, or a sum is beyond a DOUBLE
--   unsettled          figures of a session may still change, or either side was loaded before the day was over (UTC)
--   sessions_missing   overall says more, of ingest seconds, of viewer seconds or of sessions
--   overall_behind     the sessions say more
--   match              neither does
-- The API's totals may be whole numbers where sessions have fractions, and nobody says how it rounds: each session or the
-- total, up, down or to the nearest. Whatever it does, a whole total lies between the sum of the sessions rounded down and
-- the sum of the sessions rounded up; a total with a fraction is not rounded. Figures outside of that differ, if by more than
-- 0.5 seconds + 0.000001 (1e-6) of the larger: by how much is unexplained_…. So a missing session of a few seconds shows in
-- the count of sessions, where the API gives one; it may count those that never started or not. extract_sessions asks by
-- this very query for which days sessions are missing. livestream_count is shown, not judged: what the API counts there is
-- not documented.
-- grain: app_id, day
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day that either side holds
-- column: overall_ingest_seconds (seconds): time streams were fed in, by overall
-- column: sessions_ingest_seconds (seconds): the same by the sessions; those that report no figure add nothing
-- column: ingest_seconds_difference (seconds): overall less sessions
-- column: unexplained_ingest_seconds (seconds): what of the difference no rounding explains; above zero: overall says more
-- column: overall_viewer_seconds (seconds): time watched, by overall
-- column: sessions_viewer_seconds (seconds): the same by the sessions
-- column: viewer_seconds_difference (seconds): overall less sessions
-- column: unexplained_viewer_seconds (seconds): what of the difference no rounding explains
-- column: overall_livestreams (count): livestreams, by overall
-- column: sessions_livestreams (count): livestreams with a session
-- column: livestreams_difference (count): overall less sessions
-- column: overall_session_count (count): sessions, by livestreams/daywise; NULL where the API does not say
-- column: sessions (count): sessions of the day
-- column: sessions_started (count): of them, those that went live
-- column: sessions_on_air (count): of them, those on air when last received
-- column: sessions_provisional (count): of them, those whose figures may still change: see marts.daily_usage
-- column: sessions_quarantined (count): session records of the day in ops.quarantine
-- column: verdict (text): match, sessions_missing, overall_behind, unsettled or unknown
-- column: overall_fetched_at (UTC time): when overall was last received
-- column: sessions_fetched_at (UTC time): when a session of the day was last received
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
        count(started_at) AS started,
        count(*) FILTER (WHERE is_live) AS on_air,
        count(DISTINCT livestream_id) AS livestreams,
        coalesce(sum(ingest_seconds), 0) AS ingest_seconds,
        coalesce(sum(floor(ingest_seconds)), 0) AS least_ingest_seconds,
        coalesce(sum(ceil(ingest_seconds)), 0) AS most_ingest_seconds,
        coalesce(sum(viewer_seconds), 0) AS viewer_seconds,
        coalesce(sum(floor(viewer_seconds)), 0) AS least_viewer_seconds,
        coalesce(sum(ceil(viewer_seconds)), 0) AS most_viewer_seconds,
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
        held.app_id,
        held.day,
        overall.ingest_seconds AS overall_ingest_seconds,
        CASE WHEN held.has_sessions THEN nullif(coalesce(sums.ingest_seconds, 0), 'inf') END AS sessions_ingest_seconds,
        overall.ingest_seconds = floor(overall.ingest_seconds) AS is_ingest_whole,
        coalesce(sums.least_ingest_seconds, 0) AS least_ingest_seconds,
        coalesce(sums.most_ingest_seconds, 0) AS most_ingest_seconds,
        overall.viewer_seconds AS overall_viewer_seconds,
        CASE WHEN held.has_sessions THEN nullif(coalesce(sums.viewer_seconds, 0), 'inf') END AS sessions_viewer_seconds,
        overall.viewer_seconds = floor(overall.viewer_seconds) AS is_viewer_whole,
        coalesce(sums.least_viewer_seconds, 0) AS least_viewer_seconds,
        coalesce(sums.most_viewer_seconds, 0) AS most_viewer_seconds,
        overall.livestream_count AS overall_livestreams,
        CASE WHEN held.has_sessions THEN coalesce(sums.livestreams, 0) END AS sessions_livestreams,
        overall.session_count AS overall_session_count,
        CASE WHEN held.has_sessions THEN coalesce(sums.sessions, 0) END AS sessions,
        CASE WHEN held.has_sessions THEN coalesce(sums.started, 0) END AS sessions_started,
        CASE WHEN held.has_sessions THEN coalesce(sums.on_air, 0) END AS sessions_on_air,
        usage.provisional_sessions AS sessions_provisional,
        coalesce(quarantined.records, 0) AS sessions_quarantined,
        overall.fetched_at AS overall_fetched_at,
        sums.fetched_at AS sessions_fetched_at,
        held.sessions_loaded_at
    FROM held
    LEFT JOIN sums ON held.app_id = sums.app_id AND held.day = sums.day
    LEFT JOIN quarantined ON held.app_id = quarantined.app_id AND held.day = quarantined.day
    LEFT JOIN marts.daily_usage AS usage ON held.app_id = usage.app_id AND held.day = usage.day
    LEFT JOIN core.livestream_analytics_daily AS overall ON held.app_id = overall.app_id AND held.day = overall.day
),
bounds AS (
    SELECT
        *,
        overall_ingest_seconds - sessions_ingest_seconds AS ingest_seconds_difference,
        overall_viewer_seconds - sessions_viewer_seconds AS viewer_seconds_difference,
        0.5 + 1e-6 * greatest(overall_ingest_seconds, sessions_ingest_seconds) AS ingest_tolerance,
        0.5 + 1e-6 * greatest(overall_viewer_seconds, sessions_viewer_seconds) AS viewer_tolerance,
        overall_ingest_seconds - CASE WHEN is_ingest_whole THEN most_ingest_seconds ELSE sessions_ingest_seconds END
            AS ingest_above,
        overall_ingest_seconds - CASE WHEN is_ingest_whole THEN least_ingest_seconds ELSE sessions_ingest_seconds END
            AS ingest_below,
        overall_viewer_seconds - CASE WHEN is_viewer_whole THEN most_viewer_seconds ELSE sessions_viewer_seconds END
            AS viewer_above,
        overall_viewer_seconds - CASE WHEN is_viewer_whole THEN least_viewer_seconds ELSE sessions_viewer_seconds END
            AS viewer_below
    FROM sides
),
compared AS (
    SELECT
        *,
        CASE
            WHEN ingest_seconds_difference IS NULL THEN NULL
            WHEN ingest_above > ingest_tolerance THEN ingest_above
            WHEN ingest_below < -ingest_tolerance THEN ingest_below
            ELSE 0
        END AS unexplained_ingest_seconds,
        CASE
            WHEN viewer_seconds_difference IS NULL THEN NULL
            WHEN viewer_above > viewer_tolerance THEN viewer_above
            WHEN viewer_below < -viewer_tolerance THEN viewer_below
            ELSE 0
        END AS unexplained_viewer_seconds
    FROM bounds
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
            OR overall_fetched_at < day + INTERVAL 1 DAY
            OR sessions_loaded_at < day + INTERVAL 1 DAY THEN 'unsettled'
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

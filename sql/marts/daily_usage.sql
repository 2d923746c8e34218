-- Usage of each app by day: how much was streamed, watched, met and recorded.
-- A figure is NULL where it is unknown (the day was not loaded, or the source no longer remembers it, or the sum is beyond
-- a DOUBLE) and 0 where the day is known and nothing happened. Sessions count on the day of core.livestream_sessions.day,
-- wholly. A session that never started was fed nothing. One that started and reports no figure adds nothing; where none of
-- those that started reports it, the sum is unknown.
-- grain: app_id, day
-- drawn: viewer_seconds
-- column: app_id (id): RealtimeKit app
-- column: day (UTC day): day; one row for each that any of the fact tables holds
-- column: sessions (count): livestream sessions
-- column: failed_sessions (count): of them, those with an error message
-- column: livestreams_active (count): livestreams with at least one session
-- column: ingest_seconds (seconds): time streams were fed in; sessions that started but report no figure add nothing
-- column: meeting_ingest_seconds (seconds): of ingest_seconds, that of livestreams that stream a meeting
-- column: unlisted_ingest_seconds (seconds): of ingest_seconds, that of livestreams never listed: of a meeting or not, unknown
-- column: sessions_without_figures (count): sessions that started and report no ingest or no viewer seconds
-- column: viewer_seconds (seconds): time watched, summed over viewers and sessions
-- column: average_concurrent_viewers (viewers): paired_viewer_seconds / paired_ingest_seconds; NULL where nothing was fed in
-- column: paired_ingest_seconds (seconds): of ingest_seconds, that of sessions that report viewer seconds too
-- column: paired_viewer_seconds (seconds): of viewer_seconds, that of sessions that report ingest seconds too
-- column: meeting_sessions (count): meeting sessions
-- column: meeting_minutes (minutes): minutes of meeting sessions
-- column: recordings (count): recordings
-- column: recording_minutes (minutes): minutes recorded
-- column: provisional_sessions (count): sessions whose figures may still change, since they had not ended when last received
-- column: quarantined_records (count): session, meeting and recording records of the day in ops.quarantine
-- column: is_settled (flag): the sessions are known and final: loaded after the day's end, of every livestream that may have had one, none provisional, none in quarantine
-- column: is_complete (flag): is_settled, and meetings and recordings are known, loaded after the day's end, none in quarantine
-- column: loaded_at (UTC time): when any of these figures was last loaded
WITH held AS (
    SELECT
        app_id,
        day,
        coalesce(bool_or(is_known) FILTER (WHERE table_name = 'core.livestream_sessions'), false) AS has_sessions,
        count(*) FILTER (WHERE is_known AND loaded_at >= day + INTERVAL 1 DAY) AS tables_final,
        count(*) FILTER (
            WHERE
                table_name = 'core.livestream_sessions'
                AND is_known
                AND loaded_at >= day + INTERVAL 1 DAY
                AND coalesce(unread_livestreams, 0) = 0
        ) AS sessions_final,
        max(loaded_at) AS loaded_at
    FROM ops.days
    WHERE table_name IN ('core.livestream_sessions', 'core.meeting_sessions_daily', 'core.recordings_daily')
    GROUP BY app_id, day
),
sums AS (
    SELECT
        session.app_id,
        session.day,
        count(*) AS sessions,
        count(*) FILTER (WHERE session.is_failed) AS failed_sessions,
        count(session.started_at) AS started_sessions,
        count(DISTINCT session.livestream_id) AS livestreams_active,
        nullif(
            sum(session.ingest_seconds) FILTER (WHERE session.started_at IS NOT NULL OR session.ingest_seconds > 0), 'inf'
        ) AS ingest_seconds,
        nullif(
            sum(session.viewer_seconds) FILTER (WHERE session.started_at IS NOT NULL OR session.viewer_seconds > 0), 'inf'
        ) AS viewer_seconds,
        nullif(sum(session.ingest_seconds) FILTER (WHERE session.viewer_seconds IS NOT NULL), 'inf') AS paired_ingest_seconds,
        nullif(sum(session.viewer_seconds) FILTER (WHERE session.ingest_seconds IS NOT NULL), 'inf') AS paired_viewer_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.meeting_id <> '') AS meeting_ingest_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.livestream_id IS NULL) AS unlisted_ingest_seconds,
        count(*) FILTER (
            WHERE session.started_at IS NOT NULL AND (session.ingest_seconds IS NULL OR session.viewer_seconds IS NULL)
        ) AS sessions_without_figures,
        -- one that has not started within a day, and reports no figure, is not waited for
        count(*) FILTER (
            WHERE session.is_provisional AND (
                session.started_at IS NOT NULL
                OR session.ingest_seconds > 0
                OR session.viewer_seconds > 0
                OR session.fetched_at < coalesce(session.invoked_at, session.created_at) + INTERVAL 1 DAY
            )
        ) AS provisional_sessions
    FROM core.livestream_sessions AS session
    LEFT JOIN core.livestreams AS stream
        ON session.app_id = stream.app_id AND session.livestream_id = stream.livestream_id
    GROUP BY session.app_id, session.day
),
quarantined AS (
    SELECT
        app_id,
        day,
        count(*) AS records,
        count(*) FILTER (WHERE table_name = 'core.livestream_sessions') AS sessions
    FROM ops.quarantine
    WHERE table_name IN ('core.livestream_sessions', 'core.meeting_sessions_daily', 'core.recordings_daily')
    GROUP BY app_id, day
),
known AS (
    SELECT
        held.*,
        sums.* EXCLUDE (app_id, day, ingest_seconds, viewer_seconds),
        CASE
            WHEN sums.started_sessions > 0 THEN sums.ingest_seconds
            WHEN held.has_sessions THEN coalesce(sums.ingest_seconds, 0)
        END AS ingest_seconds,
        CASE
            WHEN sums.started_sessions > 0 THEN sums.viewer_seconds
            WHEN held.has_sessions THEN coalesce(sums.viewer_seconds, 0)
        END AS viewer_seconds,
        held.sessions_final = 1
        AND coalesce(sums.provisional_sessions, 0) = 0
        AND coalesce(quarantined.sessions, 0) = 0 AS is_settled,
        coalesce(quarantined.records, 0) AS quarantined_records
    FROM held
    LEFT JOIN sums ON sums.app_id = held.app_id AND sums.day = held.day
    LEFT JOIN quarantined ON quarantined.app_id = held.app_id AND quarantined.day = held.day
)
SELECT
    known.app_id,
    known.day,
    CASE WHEN known.has_sessions THEN coalesce(known.sessions, 0) END AS sessions,
    CASE WHEN known.has_sessions THEN coalesce(known.failed_sessions, 0) END AS failed_sessions,
    CASE WHEN known.has_sessions THEN coalesce(known.livestreams_active, 0) END AS livestreams_active,
    known.ingest_seconds,
    CASE WHEN known.ingest_seconds IS NOT NULL THEN coalesce(known.meeting_ingest_seconds, 0) END AS meeting_ingest_seconds,
    CASE WHEN known.ingest_seconds IS NOT NULL THEN coalesce(known.unlisted_ingest_seconds, 0) END AS unlisted_ingest_seconds,
    CASE WHEN known.has_sessions THEN coalesce(known.sessions_without_figures, 0) END AS sessions_without_figures,
    known.viewer_seconds,
    nullif(known.paired_viewer_seconds / nullif(known.paired_ingest_seconds, 0), 'inf') AS average_concurrent_viewers,
    known.paired_ingest_seconds,
    known.paired_viewer_seconds,
    meetings.session_count AS meeting_sessions,
    meetings.session_minutes AS meeting_minutes,
    recordings.recording_count AS recordings,
    recordings.recording_minutes,
    CASE WHEN known.has_sessions THEN coalesce(known.provisional_sessions, 0) END AS provisional_sessions,
    known.quarantined_records,
    known.is_settled,
    known.is_settled AND known.tables_final = 3 AND known.quarantined_records = 0 AS is_complete,
    known.loaded_at
FROM known
LEFT JOIN core.meeting_sessions_daily AS meetings ON meetings.app_id = known.app_id AND meetings.day = known.day
LEFT JOIN core.recordings_daily AS recordings ON recordings.app_id = known.app_id AND recordings.day = known.day

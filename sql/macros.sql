-- Expressions that several marts, or the queries of the report, share: each rule has one definition.
-- They are temporary: each connection that evaluates such a query creates them first (pipelines/marts/macros.py), so that
-- a published warehouse needs none of them. A mart is rebuilt when a macro that it uses changes.

-- NULL for a sum that exceeds the range of a DOUBLE: the figure is unknown.
CREATE OR REPLACE TEMP MACRO finite(figure) AS nullif(figure, 'inf');

-- First day of the UTC month.
CREATE OR REPLACE TEMP MACRO month_of(day) AS CAST(date_trunc('month', day) AS DATE);

-- Whether something happened after the end of a UTC day: figures fetched then are final.
CREATE OR REPLACE TEMP MACRO is_after_day(happened_at, day) AS happened_at >= day + INTERVAL 1 DAY;

-- A count or sum of a day or month: NULL if its sessions are unknown, 0 if they are known and there are none.
CREATE OR REPLACE TEMP MACRO zero_if_known(figure, is_known) AS CASE WHEN is_known THEN coalesce(figure, 0) END;

-- Whether a session reports a figure, unless it is NULL. A session that never started was fed nothing: its zeros are no report.
CREATE OR REPLACE TEMP MACRO is_reported(seconds, started_at) AS started_at IS NOT NULL OR seconds > 0;

-- Aggregate: the seconds that sessions report.
CREATE OR REPLACE TEMP MACRO sum_reported(seconds, started_at) AS sum(seconds) FILTER (WHERE is_reported(seconds, started_at));

-- The figure made of such a sum: NULL if sessions started and none of them reports it, 0 if none started.
CREATE OR REPLACE TEMP MACRO reported_figure(sum_of_reported, started_sessions, is_known) AS finite(
    CASE WHEN started_sessions > 0 THEN sum_of_reported WHEN is_known THEN coalesce(sum_of_reported, 0) END
);

-- Aggregate: the seconds of sessions that report the other figure too.
CREATE OR REPLACE TEMP MACRO sum_paired(seconds, other_seconds) AS
    sum(seconds) FILTER (WHERE other_seconds IS NOT NULL);

-- Viewers on average, from figures of the same sessions; NULL if nothing was fed in.
CREATE OR REPLACE TEMP MACRO average_viewers(viewer_seconds, ingest_seconds) AS finite(
    viewer_seconds / nullif(ingest_seconds, 0)
);

-- When a session was last known to be on air: its end, or the time of its last fetch while it runs; NULL if unknown.
CREATE OR REPLACE TEMP MACRO on_air_until(is_live, fetched_at, ended_at) AS CASE WHEN is_live THEN fetched_at ELSE ended_at END;

-- Seconds that two time ranges share; they must overlap.
CREATE OR REPLACE TEMP MACRO overlap_seconds(starts_at, ends_at, other_starts_at, other_ends_at) AS epoch(
    least(ends_at, other_ends_at) - greatest(starts_at, other_starts_at)
);

-- Aggregate: viewers on average over the time that observations of several streams cover together.
CREATE OR REPLACE TEMP MACRO observed_viewers(viewer_seconds, observed_from, observed_until) AS finite(
    sum(viewer_seconds) / epoch(max(observed_until) - min(observed_from))
);

-- Aggregate: the first time at which a level was highest.
CREATE OR REPLACE TEMP MACRO first_peak_at(happened_at, level) AS arg_min(happened_at, (-level, happened_at));

-- Whether two consecutive observations of a session are too far apart to interpolate viewers between them. Polls come
-- every minute; one may fail, and a run keeps them off for a few minutes.
CREATE OR REPLACE TEMP MACRO is_gap(elapsed) AS elapsed > INTERVAL 5 MINUTE;

-- The part of the difference between the API's total and the sessions that no rounding explains: above zero, the total is
-- larger.
-- The API may round each session or the total, down, up or to the nearest. So a total that is a whole number matches any
-- sum between the sessions rounded down and rounded up; a total with a fraction is not rounded. Beyond that, a difference
-- counts if it exceeds 0.5 seconds + 0.000001 (1e-6) of the larger figure.
CREATE OR REPLACE TEMP MACRO unexplained_seconds(total, sessions, sessions_rounded_down, sessions_rounded_up) AS CASE
    WHEN total - sessions IS NULL THEN NULL
    WHEN total - CASE WHEN total = floor(total) THEN sessions_rounded_up ELSE sessions END
        > 0.5 + 1e-6 * greatest(total, sessions)
        THEN total - CASE WHEN total = floor(total) THEN sessions_rounded_up ELSE sessions END
    WHEN total - CASE WHEN total = floor(total) THEN sessions_rounded_down ELSE sessions END
        < -(0.5 + 1e-6 * greatest(total, sessions))
        THEN total - CASE WHEN total = floor(total) THEN sessions_rounded_down ELSE sessions END
    ELSE 0
END;

-- Estimated costs in US dollars: of recordings, of livestreams that stream a meeting, and of meetings. Meetings are counted as if
-- each had one participant, because the API does not report participants: a lower bound.
CREATE OR REPLACE TEMP MACRO estimate_recording_cost(recording_minutes, export_rate) AS recording_minutes * export_rate;
CREATE OR REPLACE TEMP MACRO estimate_export_cost(meeting_ingest_seconds, export_rate) AS meeting_ingest_seconds / 60 * export_rate;
CREATE OR REPLACE TEMP MACRO estimate_meeting_cost(meeting_minutes, participant_rate) AS meeting_minutes * participant_rate;

-- Sum of the costs that are known; NULL if none is.
CREATE OR REPLACE TEMP MACRO add_known(recording_cost, export_cost, meeting_cost) AS CASE
    WHEN coalesce(recording_cost, export_cost, meeting_cost) IS NOT NULL
        THEN coalesce(recording_cost, 0) + coalesce(export_cost, 0) + coalesce(meeting_cost, 0)
END;

-- An amount of money to the millionth of a US dollar, so that sums are exact in any order; NULL if it is too large.
CREATE OR REPLACE TEMP MACRO to_dollars(amount) AS TRY_CAST(amount AS DECIMAL(18, 6));

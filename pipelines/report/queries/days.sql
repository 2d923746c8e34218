-- Figures of each app and day that any fact table holds; NULL is unknown. Estimated costs are US dollars at the rates in
-- ops.rates, as in marts.monthly_cost: of a day of which only a part is known, cost is that part and is_cost_known false.
WITH loaded AS (
    SELECT app_id, day, max(loaded_at) AS loaded_at
    FROM ops.days
    WHERE table_name <> 'core.live_observations' AND day >= $first
    GROUP BY app_id, day
),
costs AS (
    SELECT
        usage.app_id,
        usage.day,
        estimate_recording_cost(usage.recording_minutes, rates.export_rate) AS recording_cost,
        estimate_export_cost(usage.meeting_ingest_seconds, rates.export_rate) AS export_cost,
        estimate_meeting_cost(usage.meeting_minutes, rates.participant_rate) AS meeting_cost
    FROM marts.daily_usage AS usage
    INNER JOIN ops.rates AS rates ON usage.app_id = rates.app_id
    WHERE usage.day >= $first
)
SELECT
    apps.app,
    date_diff('day', $first, loaded.day) AS day,
    epoch_ms(loaded.loaded_at) AS loaded_at,
    usage.sessions,
    usage.failed_sessions AS failed,
    round(usage.ingest_seconds, 3) AS ingest_seconds,
    round(usage.viewer_seconds, 3) AS viewer_seconds,
    -- of sessions that report both, for the average number of viewers; 0 where no session does
    round(zero_if_known(usage.paired_ingest_seconds, usage.sessions IS NOT NULL), 3) AS paired_ingest,
    round(zero_if_known(usage.paired_viewer_seconds, usage.sessions IS NOT NULL), 3) AS paired_viewer,
    usage.meeting_sessions,
    round(usage.meeting_minutes, 4) AS meeting_minutes,
    usage.recordings,
    round(usage.recording_minutes, 4) AS recording_minutes,
    reliability.never_started,
    reliability.unfinished_over_24h AS unfinished,
    usage.sessions_without_figures AS without_figures,
    round(usage.meeting_ingest_seconds, 3) AS exported_seconds,
    round(usage.ingest_seconds - usage.meeting_ingest_seconds - usage.unlisted_ingest_seconds, 3) + 0.0 AS direct_seconds,
    round(usage.unlisted_ingest_seconds, 3) AS unplaced_seconds,
    round(costs.recording_cost, 9) AS recording_cost,
    round(costs.export_cost, 9) AS export_cost,
    round(costs.meeting_cost, 9) AS meeting_cost,
    round(add_known(costs.recording_cost, costs.export_cost, costs.meeting_cost), 9) AS cost,
    costs.recording_cost + costs.export_cost + costs.meeting_cost IS NOT NULL AS is_cost_known
FROM loaded
INNER JOIN apps ON loaded.app_id = apps.app_id
LEFT JOIN marts.daily_usage AS usage ON loaded.app_id = usage.app_id AND loaded.day = usage.day
LEFT JOIN marts.session_reliability AS reliability ON loaded.app_id = reliability.app_id AND loaded.day = reliability.day
LEFT JOIN costs ON loaded.app_id = costs.app_id AND loaded.day = costs.day
ORDER BY apps.app, loaded.day

-- Usage and estimated cost of each app by month and customer. The rows of an app and month add up to its row in
-- marts.monthly_usage, and a figure is NULL for the same reasons; sums over rows are exact and count nothing twice.
-- The customer comes from ops.customers: by the livestream of a session, else by the meeting that it streams, else unassigned.
-- Each app has the row `unassigned` in every month. It also has the app's meetings and recordings, which the API reports by app only.
-- Costs are estimates at the rates in ops.rates, not an invoice. The API does not report participants, so a meeting counts as if
-- it had one. No rate is published for watch time and for livestreams that stream no meeting: they are not estimated.
-- grain: app_id, month, customer
-- headline_metric: viewer_seconds
-- column: app_id (id): RealtimeKit app
-- column: month (first day of the month): UTC month; as in marts.monthly_usage
-- column: customer (text): customer, or unassigned
-- column: sessions (count): livestream sessions
-- column: sessions_without_figures (count): sessions that started and report no ingest or no viewer seconds: the sums lack them
-- column: viewer_seconds (seconds): time watched, summed over viewers and sessions
-- column: ingest_seconds (seconds): time streams were fed in
-- column: meeting_ingest_seconds (seconds): part of ingest_seconds from livestreams that stream a meeting
-- column: unlisted_ingest_seconds (seconds): part of ingest_seconds from livestreams that were never listed: whether of a meeting is unknown
-- column: meeting_minutes (minutes): minutes of meeting sessions; NULL for a customer
-- column: recording_minutes (minutes): minutes recorded; NULL for a customer
-- column: media (text): video or audio, which decides the rates
-- column: export_rate (US dollars per minute): price of a minute recorded, or of a meeting that is streamed out
-- column: participant_rate (US dollars per minute): price of a minute of one participant in a meeting
-- column: recording_cost (US dollars): recording_minutes at export_rate
-- column: export_cost (US dollars): meeting_ingest_seconds at export_rate
-- column: meeting_cost (US dollars): meeting_minutes at participant_rate; a lower bound
-- column: cost (US dollars): sum of the costs that are known; NULL if none is
-- column: days_in_month (days): days of the month
-- column: days_known (days): days whose livestream sessions are known, of the app; like the following columns, the same for each customer
-- column: meeting_days_known (days): days whose meeting figures are known
-- column: recording_days_known (days): days whose recording figures are known
-- column: provisional_sessions (count): sessions whose figures may still change
-- column: quarantined_records (count): session, meeting and recording records of the month in ops.quarantine
-- column: is_complete (flag): sessions, meetings and recordings of every day are known and final
-- column: loaded_at (UTC time): latest load of any of these figures
WITH sums AS (
    SELECT
        session.app_id,
        month_of(session.day) AS month,
        coalesce(by_livestream.customer, by_meeting.customer, 'unassigned') AS customer,
        count(*) AS sessions,
        count(session.started_at) AS started_sessions,
        count(*) FILTER (
            WHERE session.started_at IS NOT NULL AND (session.ingest_seconds IS NULL OR session.viewer_seconds IS NULL)
        ) AS sessions_without_figures,
        sum_reported(session.ingest_seconds, session.started_at) AS ingest_seconds,
        sum_reported(session.viewer_seconds, session.started_at) AS viewer_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.meeting_id <> '') AS meeting_ingest_seconds,
        sum(session.ingest_seconds) FILTER (WHERE stream.livestream_id IS NULL) AS unlisted_ingest_seconds
    FROM core.livestream_sessions AS session
    LEFT JOIN core.livestreams AS stream
        ON session.app_id = stream.app_id AND session.livestream_id = stream.livestream_id
    LEFT JOIN ops.customers AS by_livestream
        ON by_livestream.assigned_by = 'livestream' AND session.livestream_id = by_livestream.record_id
    LEFT JOIN ops.customers AS by_meeting
        ON by_meeting.assigned_by = 'meeting' AND stream.meeting_id = by_meeting.record_id
    GROUP BY
        session.app_id, month_of(session.day), coalesce(by_livestream.customer, by_meeting.customer, 'unassigned')
),
customers AS (
    SELECT app_id, month, customer FROM sums
    UNION
    SELECT app_id, month, 'unassigned' AS customer FROM marts.monthly_usage
),
known AS (
    SELECT
        customers.app_id,
        customers.month,
        customers.customer,
        zero_if_known(sums.sessions, usage.days_known > 0) AS sessions,
        zero_if_known(sums.sessions_without_figures, usage.days_known > 0) AS sessions_without_figures,
        reported_figure(sums.viewer_seconds, sums.started_sessions, usage.viewer_seconds IS NOT NULL) AS viewer_seconds,
        reported_figure(sums.ingest_seconds, sums.started_sessions, usage.ingest_seconds IS NOT NULL) AS ingest_seconds,
        sums.meeting_ingest_seconds,
        sums.unlisted_ingest_seconds,
        CASE WHEN customers.customer = 'unassigned' THEN usage.meeting_minutes END AS meeting_minutes,
        CASE WHEN customers.customer = 'unassigned' THEN usage.recording_minutes END AS recording_minutes,
        usage.days_in_month,
        usage.days_known,
        usage.meeting_days_known,
        usage.recording_days_known,
        usage.provisional_sessions,
        usage.quarantined_records,
        usage.is_complete,
        usage.loaded_at
    FROM customers
    INNER JOIN marts.monthly_usage AS usage ON customers.app_id = usage.app_id AND customers.month = usage.month
    LEFT JOIN sums
        ON customers.app_id = sums.app_id AND customers.month = sums.month AND customers.customer = sums.customer
),
figures AS (
    SELECT
        * REPLACE (
            zero_if_known(meeting_ingest_seconds, ingest_seconds IS NOT NULL) AS meeting_ingest_seconds,
            zero_if_known(unlisted_ingest_seconds, ingest_seconds IS NOT NULL) AS unlisted_ingest_seconds
        )
    FROM known
),
costs AS (
    SELECT
        figures.*,
        rates.media,
        rates.export_rate,
        rates.participant_rate,
        to_dollars(estimate_recording_cost(figures.recording_minutes, rates.export_rate)) AS recording_cost,
        to_dollars(estimate_export_cost(figures.meeting_ingest_seconds, rates.export_rate)) AS export_cost,
        to_dollars(estimate_meeting_cost(figures.meeting_minutes, rates.participant_rate)) AS meeting_cost
    FROM figures
    LEFT JOIN ops.rates AS rates ON figures.app_id = rates.app_id
)
SELECT
    app_id,
    month,
    customer,
    sessions,
    sessions_without_figures,
    viewer_seconds,
    ingest_seconds,
    meeting_ingest_seconds,
    unlisted_ingest_seconds,
    meeting_minutes,
    recording_minutes,
    media,
    export_rate,
    participant_rate,
    recording_cost,
    export_cost,
    meeting_cost,
    CAST(add_known(recording_cost, export_cost, meeting_cost) AS DECIMAL(18, 6)) AS cost,
    days_in_month,
    days_known,
    meeting_days_known,
    recording_days_known,
    provisional_sessions,
    quarantined_records,
    is_complete,
    loaded_at
FROM costs

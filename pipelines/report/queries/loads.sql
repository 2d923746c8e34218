-- The latest loads, one row per run and app. Rows are counted for core tables only, which are built from the raw tables.
SELECT
    apps.app,
    epoch_ms(max(loads.finished_at)) AS finished_at,
    CAST(min(loads.first_day) AS VARCHAR) AS first_day,
    CAST(max(loads.last_day) AS VARCHAR) AS last_day,
    CAST(sum(loads.api_requests) AS BIGINT) AS requests,
    CAST(sum(loads.api_retries) AS BIGINT) AS retries,
    CAST(sum(loads.rows_received) FILTER (WHERE loads.table_name LIKE 'core.%') AS BIGINT) AS received,
    CAST(sum(loads.rows_landed) FILTER (WHERE loads.table_name LIKE 'core.%') AS BIGINT) AS landed,
    CAST(sum(loads.rows_quarantined) FILTER (WHERE loads.table_name LIKE 'core.%') AS BIGINT) AS quarantined,
    CAST(sum(loads.rows_duplicate) FILTER (WHERE loads.table_name LIKE 'core.%') AS BIGINT) AS duplicates,
    left(coalesce(string_agg(DISTINCT loads.note, '; ' ORDER BY loads.note), ''), 300) AS note
FROM ops.loads AS loads
INNER JOIN apps ON loads.app_id = apps.app_id
GROUP BY loads.run_id, apps.app
ORDER BY max(loads.finished_at) DESC, apps.app
LIMIT 20

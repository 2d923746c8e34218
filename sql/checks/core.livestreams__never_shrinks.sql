-- The list of livestreams has every livestream that it had before, and is not empty. A livestream that is no longer listed
-- keeps its row and its sessions; nothing more is fetched for it.
-- severity: warn
WITH latest AS (
    SELECT app_id, arg_max(run_id, (coalesce(arrival, 0), started_at)) AS run_id
    FROM ops.loads
    WHERE table_name = 'core.livestreams'
    GROUP BY app_id
)
SELECT shrinks.app_id, shrinks.record_id, shrinks.reason, shrinks.fetched_at, latest.run_id
FROM ops.shrinks AS shrinks
INNER JOIN latest ON shrinks.app_id = latest.app_id AND shrinks.run_id = latest.run_id
WHERE shrinks.table_name = 'core.livestreams'
ORDER BY shrinks.app_id, shrinks.record_id

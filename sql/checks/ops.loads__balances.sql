-- In every load, received = landed + quarantined + duplicates: no record was lost. A load that does not balance no longer
-- counts once its days are loaded by one that does: run `livehouse rebuild` or `livehouse backfill --full`.
-- severity: block
SELECT run_id, table_name, app_id, first_day, last_day, rows_received, rows_landed, rows_quarantined, rows_duplicate, finished_at
FROM ops.loads AS wrong
WHERE
    rows_received IS DISTINCT FROM rows_landed + rows_quarantined + rows_duplicate
    AND NOT EXISTS (
        FROM ops.loads AS later
        WHERE
            later.table_name = wrong.table_name AND later.app_id = wrong.app_id AND later.started_at > wrong.finished_at
            AND later.rows_received = later.rows_landed + later.rows_quarantined + later.rows_duplicate
            AND coalesce(later.first_day <= wrong.first_day AND later.last_day >= wrong.last_day, wrong.first_day IS NULL)
            AND (later.note IS NULL OR NOT starts_with(later.note, 'failed'))
    )
ORDER BY finished_at DESC, table_name, app_id

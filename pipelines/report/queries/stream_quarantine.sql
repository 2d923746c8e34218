-- Quarantined livestreams and sessions, one by one with the livestream that they belong to: the $quarantine newest.
SELECT
    apps.app,
    CASE
        WHEN quarantined.table_name = 'core.livestreams' THEN quarantined.record_id
        WHEN json_valid(quarantined.payload) THEN quarantined.payload ->> '$.livestream_id'
    END AS livestream_id,
    date_diff('day', $first, quarantined.day) AS day,
    quarantined.table_name,
    left(coalesce(quarantined.record_id, ''), 64) AS record_id,
    coalesce(quarantined.field, '') AS field,
    left(coalesce(quarantined.reason, ''), 300) AS reason
FROM ops.quarantine AS quarantined
INNER JOIN apps ON quarantined.app_id = apps.app_id
WHERE
    quarantined.table_name IN ('core.livestreams', 'core.livestream_sessions')
    AND (quarantined.day IS NULL OR quarantined.day >= $first)
    AND livestream_id IS NOT NULL
ORDER BY quarantined.day DESC NULLS FIRST, apps.app, livestream_id, record_id, field
LIMIT $quarantine

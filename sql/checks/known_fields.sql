-- The fields, JSON types and statuses of {table} are those known before.
--   new              first seen in the latest load, which was not the first: a field to read, or to leave
--   stopped coming   not in the latest load, though by its share of the records before, that had one chance in a
--                    million; told in the seven loads after it was last seen, then taken for normal. Statuses of
--                    less than a tenth of the records are not missed: who is on air at night says nothing.
-- tables: raw.app_analytics, raw.livestream_analytics, raw.livestream_sessions, raw.livestreams
-- severity: warn
WITH runs AS (
    SELECT
        min(started_at) AS started_at,
        sum(rows_received) AS records,
        row_number() OVER (ORDER BY min(started_at) DESC, run_id) AS age
    FROM ops.loads
    WHERE table_name = '{table}' AND rows_received > 0
    GROUP BY run_id
),
latest AS (
    SELECT
        max(started_at) AS started_at,
        max(records) FILTER (WHERE age = 1) AS records,
        min(started_at) FILTER (WHERE age <= 8) AS told_since,
        count(*) AS loads
    FROM runs
),
fields AS (
    SELECT *, sum(records) OVER (PARTITION BY field) AS field_records
    FROM ops.field_types
    WHERE table_name = '{table}'
),
shares AS (
    SELECT
        fields.*,
        latest.started_at AS latest_started_at,
        latest.told_since,
        latest.loads,
        latest.records AS latest_records,
        max(fields.field_records) OVER () - latest.records AS records_before,
        least(fields.records / nullif(records_before, 0), 1) AS share
    FROM fields
    CROSS JOIN latest
)
SELECT
    CASE WHEN first_seen_at >= latest_started_at THEN 'new' ELSE 'stopped coming' END AS what,
    field,
    json_type,
    records,
    first_seen_at,
    last_seen_at
FROM shares
WHERE
    (loads > 1 AND first_seen_at >= latest_started_at)
    OR (
        last_seen_at < latest_started_at
        AND last_seen_at >= told_since
        AND records_before >= 100
        AND power(1 - share, latest_records) < 1e-6
        AND (share >= 0.1 OR json_type NOT LIKE 'string:%')
    )
ORDER BY what, field, json_type

-- The fields, JSON types and statuses of {table} are those seen before. A finding is one of:
--   new              first seen in the latest load, which was not the first: a field to read, or to ignore
--   stopped coming   missing in the latest load, although its share of earlier records makes that a chance of one in a
--                    million; reported in the seven loads after it was last seen, then considered normal
-- Fields may be null: a null is not reported, nor is a text, number or flag where only null was seen before. The four
-- documented statuses come and go. Every other new status is reported; a missing one only if at least a tenth of the records
-- had it.
-- tables: raw
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
        min(started_at) FILTER (WHERE age <= 8) AS reported_since,
        count(*) AS loads
    FROM runs
),
fields AS (
    SELECT
        types.*,
        latest.started_at AS latest_started_at,
        latest.reported_since,
        latest.loads,
        latest.records AS latest_records,
        types.json_type = 'null' AS is_null,
        types.json_type IN ('string:LIVE', 'string:IDLE', 'string:ERRORED', 'string:INVOKED') AS is_documented,
        sum(types.records) OVER (PARTITION BY types.field) AS field_records,
        max(types.last_seen_at) OVER (PARTITION BY types.field) AS field_last_seen_at,
        -- statuses are not types of their own: all of them are text
        max(types.last_seen_at) OVER (PARTITION BY types.field, split_part(types.json_type, ':', 1)) AS type_last_seen_at,
        bool_or(types.first_seen_at < latest.started_at) OVER (PARTITION BY types.field) AS is_field_known,
        coalesce(
            bool_or(types.first_seen_at < latest.started_at AND types.json_type <> 'null') OVER (PARTITION BY types.field),
            false
        ) AS has_known_type
    FROM ops.field_types AS types
    CROSS JOIN latest
    WHERE types.table_name = '{table}'
),
shares AS (
    SELECT
        *,
        max(field_records) OVER () - latest_records AS records_before,
        least(records / nullif(records_before, 0), 1) AS share
    FROM fields
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
    (
        loads > 1
        AND first_seen_at >= latest_started_at
        AND NOT (is_field_known AND (is_null OR is_documented))
        AND NOT (is_field_known AND NOT has_known_type AND json_type IN ('string', 'number', 'boolean'))
    )
    OR (
        last_seen_at < latest_started_at
        AND last_seen_at >= reported_since
        AND records_before >= 100
        AND power(1 - share, latest_records) < 1e-6
        AND (share >= 0.1 OR json_type NOT LIKE 'string:%')
        -- a field that no longer comes at all is reported, whatever its type
        AND NOT (is_null AND field_last_seen_at >= latest_started_at)
        AND NOT (is_documented AND type_last_seen_at >= latest_started_at)
    )
ORDER BY what, field, json_type

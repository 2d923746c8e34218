-- For each app: its livestreams, those whose sessions were fetched within the 30 days before the last load, and the result
-- of that time's audits of livestreams that the API did not report as changed.
WITH newest AS (SELECT max(finished_at) AS at FROM ops.loads),
verified AS (
    SELECT
        listed.app_id,
        count(*) AS livestreams,
        count(*) FILTER (WHERE sync.complete AND sync.synced_at >= newest.at - INTERVAL 30 DAY) AS verified
    FROM core.livestreams AS listed
    CROSS JOIN newest
    LEFT JOIN ops.livestream_sync AS sync
        ON listed.app_id = sync.app_id AND listed.livestream_id = sync.livestream_id
    GROUP BY listed.app_id
),
audited AS (
    SELECT
        audits.app_id,
        sum(audits.livestreams_audited)::BIGINT AS audited,
        sum(audits.livestreams_changed)::BIGINT AS changed
    FROM ops.audits AS audits
    CROSS JOIN newest
    WHERE audits.audited_at >= newest.at - INTERVAL 30 DAY
    GROUP BY audits.app_id
)
SELECT
    apps.app,
    coalesce(verified.livestreams, 0) AS livestreams,
    coalesce(verified.verified, 0) AS verified,
    coalesce(audited.audited, 0) AS audited,
    coalesce(audited.changed, 0) AS changed
FROM apps
LEFT JOIN verified ON apps.app_id = verified.app_id
LEFT JOIN audited ON apps.app_id = audited.app_id
ORDER BY apps.app

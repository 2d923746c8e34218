-- Failed sessions of each app and day, by message: the $messages most frequent messages, and NULL for all others.
WITH failed AS (
    SELECT app_id, day, left(err_message, $message_length) AS message, started_at IS NOT NULL AS went_live
    FROM core.livestream_sessions
    WHERE is_failed AND day >= $first
),
frequent AS (
    SELECT message
    FROM failed
    GROUP BY message
    ORDER BY count(*) DESC, message
    LIMIT $messages
)
SELECT
    apps.app,
    date_diff('day', $first, failed.day) AS day,
    frequent.message,
    count(*) FILTER (WHERE NOT failed.went_live) AS before_live,
    count(*) FILTER (WHERE failed.went_live) AS after_live
FROM failed
INNER JOIN apps ON failed.app_id = apps.app_id
LEFT JOIN frequent ON failed.message = frequent.message
GROUP BY apps.app, failed.day, frequent.message
ORDER BY apps.app, failed.day, frequent.message

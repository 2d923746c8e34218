-- The prices of a minute of each app.
SELECT rates.export_rate, rates.participant_rate
FROM apps
LEFT JOIN ops.rates AS rates ON apps.app_id = rates.app_id
ORDER BY apps.app

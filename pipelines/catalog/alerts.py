"""The tables that record what alert rules found, and what was posted to the webhook."""

from pipelines.catalog.types import Column, Table

INCIDENTS = Table(
    "ops",
    "incidents",
    "Incidents: days, or a current state, in violation of an alert rule. Each opens and closes once.",
    ("incident_id",),
    (
        Column("incident_id", "id", "Identifier, the same in every message about it"),
        Column("rule", "text", "Name of the rule"),
        Column("app_id", "id", "RealtimeKit app; NULL for a rule about the whole account"),
        Column(
            "scope", "text", "Livestream, or what else the rule distinguishes within the app; NULL for the whole app"
        ),
        Column("first_day", "day", "First day in violation; NULL if the rule is about a current state"),
        Column("last_day", "day", "Last day in violation; NULL if the rule is about a current state"),
        Column("opened_at", "timestamp", "When the violation was found, UTC"),
        Column("closed_at", "timestamp", "When its end was found, UTC; NULL while it is open"),
        Column(
            "closing",
            "text",
            "Why it was closed: over (a later day is not in violation), corrected (the figures of its days changed),"
            " rule_removed or app_removed; NULL while it is open",
        ),
        Column("first_value", "number", "Value of the first day in violation, or of the state when it was found"),
        Column("last_value", "number", "Value of the last day in violation, or of the state when last found"),
        Column("threshold", "number", "Threshold of the last day in violation; NULL for a query without one"),
        Column("open_posted_at", "timestamp", "When the webhook accepted that it opened, UTC; NULL if it has not"),
        Column("close_posted_at", "timestamp", "When the webhook accepted that it closed, UTC; NULL if it has not"),
        Column("text", "text", "The incident in words"),
    ),
    unique=True,
)
DIGESTS = Table(
    "ops",
    "digests",
    "Morning digests that the webhook accepted.",
    ("day", "app_ids"),
    (
        Column("day", "day", "Day that the digest is about"),
        Column("app_ids", "text", "Its apps in alphabetical order, separated by commas"),
        Column("posted_at", "timestamp", "When the webhook accepted it, UTC"),
    ),
    unique=True,
)

"""Shows the published warehouse in a browser: its tables, the examples as forms, and a user's own queries."""

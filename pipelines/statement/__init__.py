"""Statements of a month for finance: what was used and what it costs, and what changed since the month was closed."""

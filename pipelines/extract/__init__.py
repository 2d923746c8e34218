"""Requests to the API: client, budget, paging, operations and parsers. Knows HTTP and JSON; no tables, no files."""

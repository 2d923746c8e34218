"""A fake RealtimeKit API: a seeded world, eleven operations over HTTP, fault injection, and the expected rows.

world (apps, livestreams, sessions) -> expected_rows (the rows that a warehouse of this world must hold)
world -> render (JSON in any known response shape), dialects (accepted requests and statuses) -> app (operations
and faults) -> server (HTTP)

It imports nothing else of the pipeline: a mirror of our own client would prove nothing.
"""

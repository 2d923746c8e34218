"""A RealtimeKit that runs here: a seeded world, ten operations over HTTP, faults, and the truth about it.

world (what exists) -> truth (what a warehouse of it must hold)
world -> render (JSON, in any known shape) -> app (the ten operations, and faults) -> server (HTTP)

It imports nothing else of the pipeline: a mirror of our own client would prove nothing.
"""

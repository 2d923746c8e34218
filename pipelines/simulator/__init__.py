"""A RealtimeKit that runs here: a seeded world, eleven operations over HTTP, faults, and the truth about it.

world (what exists) -> truth (what a warehouse of it must hold)
world -> render (JSON, in any known shape), dialect (what is accepted, and with which status) -> app (the operations, and faults) -> server (HTTP)

It imports nothing else of the pipeline: a mirror of our own client would prove nothing.
"""

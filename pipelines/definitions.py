"""What Dagster loads: the graph of `graph.py`, with the settings of the environment this process was started in."""

from pipelines.graph import build_definitions

defs = build_definitions()

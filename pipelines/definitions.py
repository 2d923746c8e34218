"""Dagster's entry point: the graph of `orchestration/graph.py`, with the settings of the environment."""

import dagster as dg

from pipelines.orchestration.graph import build_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """Return the graph with the settings of the environment, which are read when Dagster loads it, not on import."""
    return build_definitions()

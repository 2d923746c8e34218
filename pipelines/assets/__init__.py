"""Dagster only: each asset is a name, what it depends on, and the step that does its work."""

import warnings

import dagster as dg

# `backfill_policy` is what makes a range one run; that Dagster may still rename it is caught by our tests.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

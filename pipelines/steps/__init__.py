"""Runs the stages for each app, in order. Imports every stage, and nothing of Dagster."""

"""Leads each app's records through the stages, in order. Knows every stage; knows nothing of Dagster."""

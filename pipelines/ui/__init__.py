"""Dagster's UI for the user who started it, and for nobody else: no web page and no other user of the machine gets in."""

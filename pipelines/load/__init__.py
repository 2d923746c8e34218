"""Writes the warehouse's files: raw records, whole days, the published copy. Knows neither API nor rules."""

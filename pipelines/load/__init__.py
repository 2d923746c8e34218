"""Writes the warehouse's files: raw records, whole days, the published copy. Knows neither the API nor the rules."""

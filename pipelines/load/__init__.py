"""Reads and writes the tables of a warehouse: raw records, whole days, notes. Knows neither the API nor the rules for values."""

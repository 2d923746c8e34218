"""Turns raw records into typed rows, by the rules for values. Knows neither the API nor DuckDB."""

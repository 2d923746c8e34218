"""Writes core and marts as Parquet or CSV files for other engines."""

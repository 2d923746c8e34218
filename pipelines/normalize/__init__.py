"""Makes typed rows of raw records. Knows the rules of value; knows neither the API nor DuckDB."""

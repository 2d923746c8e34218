"""Asks the API for what is not known yet. Knows HTTP and its shapes; knows nothing of tables or files."""

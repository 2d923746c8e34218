"""Asks the API for what is not known yet. Knows HTTP and the API's shapes; knows nothing of tables or files."""

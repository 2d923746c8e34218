"""livehouse: Cloudflare RealtimeKit's livestreams, sessions and analytics, in DuckDB.

extract   asks the API for what is not known yet and lands every record as it was received (raw)
normalize reads raw records by the rules of `normalize/coerce.py` and sets aside what no rule takes
load      swaps whole days of an app into the working file, and publishes a finished copy of it
report    builds marts from landed tables, and the page people look at
"""

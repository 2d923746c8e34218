"""livehouse: Cloudflare RealtimeKit's livestreams, sessions and analytics, in DuckDB.

extract    fetches what is missing or may have changed
load       lands every record as received (raw tables), and replaces whole days of an app (core tables)
normalize  reads each value of a raw record by its kind, and quarantines a record that no rule accepts
marts      builds and checks the reporting tables from the SQL files in `sql/`
storage    publishes a finished copy of the warehouse for readers
report     writes the report page

`steps` runs these for each app, `orchestration` makes them a Dagster graph. CONTRIBUTING.md has the whole map.
"""

import sys

DISTRIBUTION = "livehouse"
"""The distribution that these files belong to: another one may have a package of the same name."""

# httpx imports its command line, and with it rich and pygments, wherever these are installed. None in sys.modules makes it do without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # what Python's import system documents

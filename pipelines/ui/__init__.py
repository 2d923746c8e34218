"""Guards what is served on loopback for the user who started it only: other users of the machine and pages of other sites are refused. Starts Dagster's UI."""

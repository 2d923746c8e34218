"""Telemetry of runs, which machines read: log lines, metrics and traces, heartbeats. Keep figures about livestreams in the tables."""

"""Assets: each has a key, dependencies and the step that does its work."""

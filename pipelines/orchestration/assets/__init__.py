"""One asset is a name, what it depends on, and the step that does its work."""

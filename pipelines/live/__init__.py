"""What is on air now, from the request to the stored observation: a slice of its own."""

"""Live streams: polling the API, staging the observations, merging them into the warehouse, and the view of `on-air`."""

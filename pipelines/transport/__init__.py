"""HTTP exchanges with a deadline, and the proxies and certificates of the environment. Knows nothing of the API."""

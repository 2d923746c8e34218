"""Settings: environment variables and `.env`, and the validation of each value."""

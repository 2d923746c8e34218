"""What the environment and `.env` may say, and how each value is checked."""

"""The log of predictions and the feedback, in SQLite or PostgreSQL."""

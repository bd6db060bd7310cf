"""The compute processes, and the pool that gives them the recordings."""

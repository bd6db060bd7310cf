"""Review of a model's answers by people: queues of windows, decisions, precision on the user's own recordings, thresholds."""

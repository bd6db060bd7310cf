"""The review of a model's answers in the browser: several people, one table of decisions."""

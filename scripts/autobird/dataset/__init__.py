"""From checked recordings to training data: labels, groups, splits, leakage, and the index of windows."""

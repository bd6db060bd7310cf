"""The data set: labels of windows, groups of recordings, splits, and the index of windows."""

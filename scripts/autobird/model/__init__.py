"""Architectures, data set, augmentation, training, scoring. The only area that imports torch."""

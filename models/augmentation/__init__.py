"""Data augmentation: transformed images, interpolated rows, and their effect on a classifier."""

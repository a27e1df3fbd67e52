"""Bounds propagation: the values that relations leave of rows of which some are given."""

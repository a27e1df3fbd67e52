"""Conditions on the columns of sampled rows, and how they are satisfied."""

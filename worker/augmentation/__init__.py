"""Augmentation jobs: create a larger dataset from one, and measure the benefit (lift)."""

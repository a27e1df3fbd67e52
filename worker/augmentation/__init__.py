"""Augmentation jobs: a larger dataset out of one, and what that is worth."""

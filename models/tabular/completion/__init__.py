"""Completion of partial rows: given values stay, the others are sampled given them."""

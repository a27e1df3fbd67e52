"""Datasets: reading uploaded files, storing them as objects and recording them in the database."""

"""Metrics of tables."""

"""Metrics of samples and of critics."""

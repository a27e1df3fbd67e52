"""Benchmarks of the service, with their results in README.md.

Benchmarks depend on the clock; tests never do.
"""

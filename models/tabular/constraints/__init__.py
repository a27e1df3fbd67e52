"""Constraints that every generated row satisfies."""

"""Columns that determine another one: lookups, intervals and pairs."""

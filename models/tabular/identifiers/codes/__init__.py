"""Codes: numbers, letters, dates and words in a fixed form."""

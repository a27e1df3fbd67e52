"""Texts that consist of those of other columns, such as full names and order numbers."""

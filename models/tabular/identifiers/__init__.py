"""Identifiers: new values of the form that the values of a column have."""

"""Measurements of the service, with their results in README.md. Tests never depend on the clock;
these do."""

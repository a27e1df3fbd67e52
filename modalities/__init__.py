"""Kinds of data: each is a package with everything that depends on the kind."""

"""Architectures of a generator and a critic only: textbook networks and registered ones."""

"""Training of tables with differential privacy."""

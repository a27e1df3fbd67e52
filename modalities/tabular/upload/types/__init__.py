"""Types of columns, inferred from their values."""

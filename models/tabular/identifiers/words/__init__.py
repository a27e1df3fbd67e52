"""Words of new names and texts."""

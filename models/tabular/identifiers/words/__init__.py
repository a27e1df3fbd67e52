"""Words of which new names and texts consist."""

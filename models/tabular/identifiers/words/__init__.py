"""Words of which new names and texts are made."""

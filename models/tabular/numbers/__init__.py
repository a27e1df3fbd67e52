"""Numbers as tokens: bins, positions within them, scales and last digits."""

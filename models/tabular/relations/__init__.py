"""Relations between columns: their search, and codings that keep them."""

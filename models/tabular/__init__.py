"""Rows of tables: tokenizer, settings, networks, the training loop, sampling. `schema` and
`settings` need no torch."""

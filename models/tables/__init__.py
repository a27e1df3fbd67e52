"""Rows of tables: encoding, settings, networks, the training loop, sampling. `schema` and
`settings` need no torch."""

"""Labeled images: settings, networks, training loop and sampling. `settings` is free of torch."""

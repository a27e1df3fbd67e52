"""Labelled images: settings, networks, the training loop, sampling. `settings` needs no torch."""

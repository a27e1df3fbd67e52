"""Architectures with an encoder: `vae_gan`, the default, and `cvae`, which has no critic."""

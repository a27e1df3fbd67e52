"""A generator that an encoder guides and a critic sharpens: `vae_gan`, which is what `auto` is, and,
without the critic, `cvae`."""

"""A generator that an encoder guides and a critic sharpens: the architectures `auto` and `cvae`."""

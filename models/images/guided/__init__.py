"""A generator that an encoder guides and a critic sharpens: `guided`, which is what `auto` is, and,
without the critic, `cvae`."""

"""Random seeds of training steps.

The seed of a step depends on (seed, step) only, so a resumed run draws the same random numbers as
an uninterrupted one.
"""

import torch


def seed_step(seed: int, step: int) -> None:
    """Seed torch's generator on the CPU.

    `torch.manual_seed` also queries every accelerator and formats a traceback for each of them,
    which takes a quarter of a millisecond.
    """
    torch.default_generator.manual_seed(1_000_003 * seed + step)

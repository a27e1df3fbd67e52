"""The randomness of a training step, from (seed, step) alone: a resumed run draws what an unbroken
one would have drawn."""

import torch


def seed_step(seed: int, step: int) -> None:
    """Seeds the CPU's generator alone: `torch.manual_seed` also asks every accelerator, and takes
    a traceback for each of them, which is a quarter of a millisecond."""
    torch.default_generator.manual_seed(1_000_003 * seed + step)

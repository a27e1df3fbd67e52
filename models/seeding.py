"""Random seeds of training steps.

The seed of a step depends on (seed, step) only, so a resumed run draws the same random numbers as
an uninterrupted one. Noise of a batch is drawn on the CPU and uploaded with the batch, so it is the
same on a GPU. Only dropout masks come from the generator of the device itself.
"""

import torch


def seed_step(seed: int, step: int, device: torch.device) -> None:
    """Seed torch's generator on the CPU and on the device.

    `torch.manual_seed` also queries every accelerator and formats a traceback for each of them,
    which takes a quarter of a millisecond.
    """
    torch.default_generator.manual_seed(1_000_003 * seed + step)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(1_000_003 * seed + step)

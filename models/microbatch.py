"""Gradient accumulation over micro-batches that fit into memory."""

from collections.abc import Callable

import torch
from torch import Tensor

from models import oom
from models.training_callbacks import TrainingCallbacks


def accumulate_gradients(
    batch: tuple[Tensor, ...],
    microbatch_size: int,
    reset: Callable[[], None],
    backward: Callable[..., dict[str, Tensor]],
    step: int,
    callbacks: TrainingCallbacks,
) -> tuple[int, dict[str, Tensor]]:
    """Compute the gradients of a batch in micro-batches of at most `microbatch_size` items.

    `reset` clears the gradients. `backward(*part, share)` adds the gradients of one part, which is
    `share` of the batch, and returns values to log. When memory runs out, the whole batch starts
    again with micro-batches of half the size. Errors of `backward` propagate, including the
    out-of-memory error of a single item.

    Returns:
        The micro-batch size that fits, and the logged values, averaged over the batch.
    """
    size = len(batch[0])
    while True:
        reset()
        logged: dict[str, Tensor] = {}
        try:
            for part in zip(*(tensor.split(microbatch_size) for tensor in batch), strict=True):
                share = len(part[0]) / size
                for name, value in backward(*part, share).items():
                    logged[name] = logged.get(name, torch.zeros(())) + share * value
        except Exception as error:
            if microbatch_size == 1 or not oom.is_out_of_memory(error):
                raise
            microbatch_size = microbatch_size // 2
            callbacks.warn(
                step, f"Out of memory: training continues with {microbatch_size} items at a time."
            )
        else:
            return microbatch_size, logged

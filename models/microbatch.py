"""A batch's gradients, computed for as many items at a time as fit into memory."""

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
    """How many items at a time it took, at most `at_once`, and what `add` logged, averaged.

    `begin` clears the gradients; `add(*part, share)` adds those of `share` of the batch. Whenever
    memory runs out, all begins again with half as many items at a time. Raises what `add` raises,
    and its out-of-memory error when not even one item fits.
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
                step, f"out of memory: continuing with {microbatch_size} items at a time"
            )
        else:
            return microbatch_size, logged

"""A batch's gradients, computed for as many items at a time as fit into memory."""

from collections.abc import Callable

import torch
from torch import Tensor

from models import memory
from models.run import Run


def in_parts(
    batch: tuple[Tensor, ...],
    at_once: int,
    begin: Callable[[], None],
    add: Callable[..., dict[str, Tensor]],
    step: int,
    run: Run,
) -> tuple[int, dict[str, Tensor]]:
    """How many items at a time it took, at most `at_once`, and what `add` logged, averaged.

    `begin` clears the gradients; `add(*part, share)` adds those of `share` of the batch. Whenever
    memory runs out, all begins again with half as many items at a time. Raises what `add` raises,
    and its out-of-memory error when not even one item fits.
    """
    size = len(batch[0])
    while True:
        begin()
        logged: dict[str, Tensor] = {}
        try:
            for part in zip(*(tensor.split(at_once) for tensor in batch), strict=True):
                share = len(part[0]) / size
                for name, value in add(*part, share).items():
                    logged[name] = logged.get(name, torch.zeros(())) + share * value
        except Exception as error:
            if at_once == 1 or not memory.is_exhausted(error):
                raise
            at_once = at_once // 2
            run.warn(step, f"out of memory: on with {at_once} items at a time")
        else:
            return at_once, logged

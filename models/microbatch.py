"""Work on a batch in parts, when the whole batch does not fit into memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from models.device import is_out_of_memory, release_memory

Batch = tuple[Tensor, ...]  # the first dimension of each tensor is the items


@dataclass(frozen=True)
class Position:
    """Position of a step in a run: its number, from 0, and its progress through the schedule."""

    step: int
    progress: float


@dataclass(frozen=True)
class Part:
    """A part of a batch whose gradients fit into memory.

    `share` is its share of the batch, and `start` the index of its first item in the batch.
    """

    batch: Batch
    position: Position
    share: float = 1.0
    start: int = 0

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, times the share. A whole batch needs no multiplication."""
        (loss if self.share == 1 else self.share * loss).backward()


def split(batch: Batch, size: int | None, position: Position) -> Iterator[Part]:
    """Yield the parts of a batch, of at most `size` items. A batch may be empty."""
    items = len(batch[0])
    if size is None or items <= size:
        yield Part(batch, position)
        return
    parts = zip(*(tensor.split(size) for tensor in batch), strict=True)
    for index, part in enumerate(parts):
        yield Part(part, position, len(part[0]) / items, index * size)


def smaller_microbatch(size: int | None, error: Exception) -> int:
    """Return half of the size.

    Raises:
        Exception: The error is not about memory, or the micro-batch cannot be smaller.
    """
    if size is None or size == 1 or not is_out_of_memory(error):
        raise error
    return size // 2


def apply_in_parts(function: Callable[..., Tensor], *batch: Tensor, device: torch.device) -> Tensor:
    """Return `function(*batch)`, computed on the device; its results belong to single items.

    If memory runs out, the function is applied to halves, quarters and so on, one after the other.
    """
    size = len(batch[0])
    while True:
        try:
            if size == len(batch[0]):
                return function(*batch)
            parts = zip(*(tensor.split(size) for tensor in batch), strict=True)
            return torch.cat([function(*part) for part in parts])
        except Exception as error:
            size = smaller_microbatch(size, error)
        # Outside of the handler, because the error refers to the tensors of its frames.
        release_memory(device)

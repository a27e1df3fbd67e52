"""Placement of tensors on a device."""

import torch
from torch import Tensor

CPU = torch.device("cpu")


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to the device, without waiting for the copy.

    Pinned memory is needed for that: otherwise the copy would wait for all earlier work of the GPU.
    """
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def has_room(device: torch.device, needed_bytes: int) -> bool:
    """Return True if data of this size leaves half of the GPU's free memory to the training."""
    return device.type == "cuda" and 2 * needed_bytes <= torch.cuda.mem_get_info(device)[0]

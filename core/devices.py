"""Kinds of devices that jobs run on, and what a worker reports about its device.

This module does not import torch: `models.device` has the devices themselves.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

# What a job asks for. `auto` runs on the first free worker, and stays on the kind of its device.
RequestedDevice = Literal["auto", "cpu", "gpu"]


class DeviceKind(StrEnum):
    CPU = "cpu"
    GPU = "gpu"


def kind_of(name: str) -> DeviceKind:
    """Return the kind of the device `cpu`, `cuda` or `cuda:N`.

    `auto` is a GPU only for a worker, which replaces it by the name of the device that it finds.
    """
    return DeviceKind.GPU if name.startswith("cuda") else DeviceKind.CPU


@dataclass(frozen=True)
class DeviceReport:
    """The device of a worker. With an `error`, the worker claims no jobs until the device works."""

    id: str  # `cpu` or `cuda:N`
    kind: DeviceKind
    name: str | None = None  # of the processor
    memory_bytes: int | None = None
    driver: str | None = None  # newest version of CUDA that the driver supports
    error: str | None = None


CPU_DEVICE = DeviceReport("cpu", DeviceKind.CPU)

"""Common base of the settings of all modalities. This module does not import torch."""

import math
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

DeviceKind = Literal["cpu", "gpu"]


class InvalidSettings(ValueError):
    """A setting has a value that is not allowed; `field` is its name."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def setting(description: str, *, default: Any = MISSING, **bounds: float) -> Any:
    """Define a field of a settings dataclass. `bounds` are any of ge, gt, le and lt.

    A field with a `default` may be missing in model files.
    """
    return field(default=default, metadata={"description": description, **bounds})


BOUND_SYMBOLS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def check_bounds(settings: Any) -> None:
    """Check every field against its bounds.

    Raises:
        InvalidSettings: A field is out of its bounds.
    """
    for item in fields(settings):
        value, bounds = getattr(settings, item.name), item.metadata
        if not isinstance(value, int | float):
            continue
        is_within_bounds = (
            value >= bounds.get("ge", -math.inf)
            and value > bounds.get("gt", -math.inf)
            and value <= bounds.get("le", math.inf)
            and value < bounds.get("lt", math.inf)
        )
        if not is_within_bounds:
            limits = [
                f"{BOUND_SYMBOLS[key]} {bounds[key]}" for key in bounds if key in BOUND_SYMBOLS
            ]
            raise InvalidSettings(item.name, f"`{item.name}` must be {' and '.join(limits)}.")


@dataclass(frozen=True)
class StepCost:
    gflop_per_step: float  # work of a matrix product that takes as long as one step
    memory_bytes: int  # of the training process, including torch


PROCESS_BYTES = 450 * 2**20  # memory of a training process without its batches

"""What the settings of every kind of data have in common. Free of torch."""

import math
from dataclasses import dataclass, field, fields
from typing import Any


class InvalidSettings(ValueError):
    """A chosen value does not fit; `field` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def setting(description: str, **bounds: float) -> Any:
    """A field of a settings dataclass; `bounds`: ge, gt, le, lt."""
    return field(metadata={"description": description, **bounds})


def check_bounds(settings: Any) -> None:
    """Raises InvalidSettings, naming the field that is out of its bounds."""
    for item in fields(settings):
        value, bounds = getattr(settings, item.name), item.metadata
        if not isinstance(value, int | float):
            continue
        fine = (
            value >= bounds.get("ge", -math.inf)
            and value > bounds.get("gt", -math.inf)
            and value <= bounds.get("le", math.inf)
            and value < bounds.get("lt", math.inf)
        )
        if not fine:
            raise InvalidSettings(item.name, f"{item.name} is out of range")


@dataclass(frozen=True)
class StepCost:
    gflop_per_step: float  # as a matrix product of the same work would count it
    memory_bytes: int  # of the training process, torch itself included


PROCESS_BYTES = 450 * 2**20

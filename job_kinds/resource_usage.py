"""CPU, GPU and wall time of this process, for budgets and usage reports."""

import resource
import time
from dataclasses import dataclass

from core.devices import DeviceKind


@dataclass(frozen=True)
class TimeUsed:
    """CPU time, elapsed time, and the time for which a GPU was held, in seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    gpu_s: float = 0.0

    def plus(self, other: "TimeUsed") -> "TimeUsed":
        return TimeUsed(
            self.cpu_s + other.cpu_s, self.wall_s + other.wall_s, self.gpu_s + other.gpu_s
        )

    def minus(self, other: "TimeUsed") -> "TimeUsed":
        return TimeUsed(
            self.cpu_s - other.cpu_s, self.wall_s - other.wall_s, self.gpu_s - other.gpu_s
        )

    def to_dict(self, digits: int) -> dict[str, float]:
        return {
            name: round(value, digits)
            for name, value in (
                ("cpu_s", self.cpu_s),
                ("wall_s", self.wall_s),
                ("gpu_s", self.gpu_s),
            )
        }

    @classmethod
    def from_dict(cls, fields: dict[str, float]) -> "TimeUsed":
        """Create it from `to_dict`; times that are missing, as before the first attempt, are 0."""
        return cls(*(fields.get(name, 0.0) for name in ("cpu_s", "wall_s", "gpu_s")))


def cpu_seconds() -> float:
    """Return the user and system time of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def read_process_time(kind: DeviceKind = DeviceKind.CPU) -> TimeUsed:
    """Return the times of this process, which has a device of this kind.

    A job holds the GPU of its worker for all of its elapsed time, because no other job can use it.
    """
    wall_s = time.monotonic()
    return TimeUsed(cpu_seconds(), wall_s, wall_s if kind is DeviceKind.GPU else 0.0)


class Usage:
    """Resource usage of a job since this object was created, plus that of earlier attempts."""

    def __init__(self, kind: DeviceKind = DeviceKind.CPU) -> None:
        self._kind, self._start = kind, read_process_time(kind)
        self.previous_attempts: dict[str, float] = {}

    def snapshot(self) -> dict[str, float]:
        used = read_process_time(self._kind).minus(self._start)
        return used.plus(TimeUsed.from_dict(self.previous_attempts)).to_dict(2)

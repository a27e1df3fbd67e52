"""Clock of a training budget: the time of the training steps, over all attempts of a job.

A new process first loads libraries and opens the dataset, which takes seconds. If these counted,
the first phase of a short run would be over before its first step, and each resumption would use up
a part of the budget. The usage of the job (job_kinds.resource_usage) does contain them.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from job_kinds.resource_usage import cpu_seconds


@dataclass(frozen=True)
class TimeUsed:
    """CPU and wall time, in seconds."""

    cpu_s: float = 0.0
    wall_s: float = 0.0


def read_process_time() -> TimeUsed:
    return TimeUsed(cpu_seconds(), time.monotonic())


class BudgetClock:
    """Time used by the earlier attempts of a job and, from `start` on, by this one."""

    def __init__(
        self, earlier: TimeUsed, read_time: Callable[[], TimeUsed] = read_process_time
    ) -> None:
        self._earlier, self._read_time = earlier, read_time
        self._start: TimeUsed | None = None

    def start(self) -> None:
        """Start the clock with the first step of this attempt."""
        self._start = self._read_time()

    def used(self) -> TimeUsed:
        if self._start is None:
            return self._earlier
        now = self._read_time()
        return TimeUsed(
            self._earlier.cpu_s + now.cpu_s - self._start.cpu_s,
            self._earlier.wall_s + now.wall_s - self._start.wall_s,
        )

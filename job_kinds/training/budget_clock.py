"""Clock of a training budget: the time of the training steps, over all attempts of a job.

A new process first loads libraries and opens the dataset, which takes seconds. If these counted,
the first phase of a short run would be over before its first step, and each resumption would use up
a part of the budget. The usage of the job (job_kinds.resource_usage) does contain them.
"""

from collections.abc import Callable

from job_kinds.resource_usage import TimeUsed, read_process_time


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
        return self._earlier.plus(self._read_time().minus(self._start))

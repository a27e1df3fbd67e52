"""CPU and wall time of this process, for budgets and usage reports."""

import resource
import time


def cpu_seconds() -> float:
    """Return the user and system time of all threads of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Usage:
    """Resource usage of a job since this object was created, plus that of earlier attempts."""

    def __init__(self) -> None:
        self._cpu_start, self._wall_start = cpu_seconds(), time.monotonic()
        self.previous_attempts: dict[str, float] = {}

    def snapshot(self) -> dict[str, float]:
        used = {
            "cpu_s": cpu_seconds() - self._cpu_start,
            "wall_s": time.monotonic() - self._wall_start,
        }
        return {
            name: round(value + self.previous_attempts.get(name, 0.0), 2)
            for name, value in used.items()
        }

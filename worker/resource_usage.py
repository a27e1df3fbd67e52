"""CPU time of this process, for budgets and for the bill."""

import resource
import time


def cpu_seconds() -> float:
    """User and system time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class Usage:
    """What a job has used since it was made, on top of earlier attempts."""

    def __init__(self) -> None:
        self._cpu, self._wall = cpu_seconds(), time.monotonic()
        self.previous_attempts: dict[str, float] = {}

    def snapshot(self) -> dict[str, float]:
        used = {"cpu_s": cpu_seconds() - self._cpu, "wall_s": time.monotonic() - self._wall}
        return {
            name: round(value + self.previous_attempts.get(name, 0.0), 2)
            for name, value in used.items()
        }

"""Counters of the requests that this process has answered, by method, route and status."""

import threading


class RequestMetrics:
    """Number of requests and seconds until the response started, summed; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str, int], tuple[int, float]] = {}

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        with self._lock:
            count, total_seconds = self._totals.get((method, route, status), (0, 0.0))
            self._totals[method, route, status] = (count + 1, total_seconds + seconds)

    def snapshot(self) -> list[tuple[dict[str, str], int, float]]:
        """Return the labels, the number of requests and their seconds, sorted by labels."""
        with self._lock:
            totals = sorted(self._totals.items())
        return [
            ({"method": method, "route": route, "status": str(status)}, count, seconds)
            for (method, route, status), (count, seconds) in totals
        ]


request_metrics = RequestMetrics()

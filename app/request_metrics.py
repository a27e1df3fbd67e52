"""Requests that this process has answered, by route: how many, and how long they took until the
answer began."""

import threading


class RequestMetrics:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[tuple[str, str, int], tuple[int, float]] = {}

    def record(self, method: str, route: str, status: int, seconds: float) -> None:
        with self._lock:
            count, before = self._counted.get((method, route, status), (0, 0.0))
            self._counted[method, route, status] = (count + 1, before + seconds)

    def snapshot(self) -> list[tuple[dict[str, str], int, float]]:
        """Labels, count, seconds."""
        with self._lock:
            counted = sorted(self._counted.items())
        return [
            ({"method": method, "route": route, "status": str(status)}, count, seconds)
            for (method, route, status), (count, seconds) in counted
        ]


request_metrics = RequestMetrics()

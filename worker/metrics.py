"""`/metrics` of a worker: its own figures in the Prometheus text format.

Figures of all workers and jobs are in `/metrics` of the API, which reads them from the database.
"""

import logging
import time
from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from core.metrics import PoolCollector
from core.webhooks import delivery
from worker.device_usage import read_device_usage

log = logging.getLogger(__name__)


class BusyTime:
    """Time for which the worker has run jobs, by samples that `update` takes."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.is_busy = False
        self._updated_at = time.monotonic()

    def update(self, *, is_busy: bool) -> None:
        """Add the time since the last call, if a job was running then."""
        now = time.monotonic()
        if self.is_busy:
            self.seconds += now - self._updated_at
        self.is_busy, self._updated_at = is_busy, now


class WorkerCollector(Collector):
    def __init__(self, device: str, works: Callable[[], bool], busy: BusyTime) -> None:
        self._device, self._works, self._busy = device, works, busy

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "semblance_worker_busy", "1 while the worker runs a job.", int(self._busy.is_busy)
        )
        yield CounterMetricFamily(
            "semblance_worker_busy_seconds",
            "Time for which the worker has run jobs, in seconds.",
            self._busy.seconds,
        )
        yield GaugeMetricFamily(
            "semblance_device_works", "1 if the worker's device works.", int(self._works())
        )
        if (usage := read_device_usage(self._device)) is None:
            return
        for name, description, value in (
            ("semblance_device_memory_bytes", "Memory of the device.", usage.memory_bytes),
            (
                "semblance_device_memory_used_bytes",
                "Used memory of the device, by all processes.",
                usage.memory_used_bytes,
            ),
            (
                "semblance_device_busy_ratio",
                "Share of the time in which the device computed, by all processes.",
                usage.busy,
            ),
        ):
            family = GaugeMetricFamily(name, description, labels=("device",))
            family.add_metric((self._device,), value)
            yield family


def serve(address: str, port: int, collector: WorkerCollector) -> None:
    """Serve the metrics from a thread until the process ends.

    If the port is in use, log an error and go on: a worker without metrics still runs jobs.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    registry.register(PoolCollector())
    registry.register(delivery.attempts)
    ProcessCollector(registry=registry)
    try:
        start_http_server(port, address, registry)
    except OSError as error:
        log.error("metrics cannot be served", extra={"port": port, "cause": str(error)})

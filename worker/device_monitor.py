"""Checks of the worker's device: at the start, after a failure, and while it is idle.

While the GPU does not work, the worker's processes claim no jobs (see worker.device_loss).
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from core.devices import DeviceKind, DeviceReport, kind_of
from worker import device_loss
from worker.device_probe import probe

RETRY_S = 10.0  # interval of checks while the GPU does not work

log = logging.getLogger(__name__)


class DeviceMonitor:
    def __init__(
        self, name: str, folder: Path, interval_s: float, is_idle: Callable[[], bool]
    ) -> None:
        """Create the monitor of the device `cpu` or `cuda:N`.

        A GPU cannot be used before its first check. `interval_s` is the time between the checks of
        one that works; `is_idle` tells whether no job uses it.
        """
        self._name, self._folder, self._interval_s = name, folder, interval_s
        self._is_idle, self._check_at = is_idle, 0.0
        self.gflops: float | None = None
        if kind_of(name) is DeviceKind.GPU:
            self.report = DeviceReport(name, DeviceKind.GPU, error="The GPU is being checked.")
            device_loss.flag(folder)
        else:
            self.report, _ = probe(name)

    @property
    def kind(self) -> DeviceKind:
        return self.report.kind

    @property
    def works(self) -> bool:
        return self.report.error is None and not device_loss.is_flagged(self._folder)

    def check(self) -> None:
        """Check a GPU that has failed or that is idle, if the next check is due."""
        if self.kind is DeviceKind.CPU:
            return
        failed_now = self.report.error is None and device_loss.is_flagged(self._folder)
        if not failed_now and time.monotonic() < self._check_at:
            return
        if self.works and not self._is_idle():
            return  # the job notices a failure, and needs the memory
        self.report, gflops = probe(self._name)
        self.gflops = gflops or self.gflops
        if self.report.error is None:
            device_loss.clear(self._folder)
        else:
            device_loss.flag(self._folder)
            log.error("the GPU does not work", extra={"cause": self.report.error})
        works = self.report.error is None
        interval_s = self._interval_s if works else min(RETRY_S, self._interval_s)
        self._check_at = time.monotonic() + interval_s

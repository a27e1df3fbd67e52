"""Lease of a running job, renewed by a background thread.

Each heartbeat renews the lease, stores the progress and events since the last one, and returns the
stop requests for the job. The work itself only calls `check()` and reads `stopping`.

If a step hangs and the lease is lost, the renewal thread exits the process so the worker can take
another job.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core import jobs, tracing
from core.database import write
from core.jobs import Claim, Heartbeat, NewEvent, StopRequests
from core.leases import LeaseLost
from core.settings import Settings
from job_kinds.resource_usage import Usage

log = logging.getLogger(__name__)

HUNG_EXIT_CODE = 70  # exit status of a process whose step hung
STEP_TIMEOUT_FACTOR = 20  # times the slowest step so far; a longer step counts as hung


class JobCancelled(Exception):
    """A client cancelled the job; its last checkpoint is kept."""


class JobPaused(Exception):
    """A client paused the job; it continues from its last checkpoint when it is resumed."""


class WorkerStopping(Exception):
    """This worker is shutting down; another worker continues the job."""


class Lease:
    """Context manager that holds a job's lease. `check()` is cheap enough for every step."""

    def __init__(
        self,
        claim: Claim,
        settings: Settings,
        *,
        is_draining: Callable[[], bool] = lambda: False,
        heartbeat: Callable[[Session, Heartbeat], StopRequests] | None = None,
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        """Create the lease of a claim.

        Args:
            claim: The claimed job.
            settings: Intervals and timeouts.
            is_draining: Tells whether this worker is shutting down; called several times a second.
            heartbeat: Writes a heartbeat; by default, that of the job. May also be set later.
            exit_process: Ends the process if a step hangs.
        """
        self.claim = claim
        self.heartbeat = heartbeat or (
            lambda session, content: jobs.heartbeat(session, claim, content)
        )
        self._phase = "preparing"
        self.step = 0
        self.step_timeout_s = Heartbeat.step_timeout_s
        self.progress: dict[str, Any] = {}
        self.usage = Usage()
        self._settings = settings
        self._is_draining, self._exit_process = is_draining, exit_process
        self._events: deque[NewEvent] = deque()
        self._lost = self._cancel = self._pause = self._drain = False
        self._stop = threading.Event()
        self._send_lock = threading.Lock()
        self._renewed_at = time.monotonic()
        self._seen = ("preparing", 0)  # phase and step
        self._seen_at, self._slowest_step_s = time.monotonic(), 0.0
        self._phase_began = time.time()
        # With this thread's context: its log records have the ids of the job.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._renew_loop,), name="lease", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=10)
        self._record_phase()

    def check(self) -> None:
        """Raise LeaseLost if this process must not write anything more for the job."""
        if self._is_lost():
            raise LeaseLost(self.claim.job_id)

    def _is_lost(self) -> bool:
        return self._lost or time.monotonic() - self._renewed_at > self._settings.lease_seconds

    @property
    def phase(self) -> str:
        """Current phase of the job; a change is recorded as an event."""
        return self._phase

    @phase.setter
    def phase(self, phase: str) -> None:
        if phase != self._phase:
            self._record_phase()
            self._phase = phase
            self.record(NewEvent("phase", {"phase": phase}))

    def _record_phase(self) -> None:
        now = time.time()
        tracing.record_span(f"phase {self._phase}", self._phase_began, now, {"step": self.step})
        self._phase_began = now

    @property
    def stopping(self) -> JobCancelled | JobPaused | WorkerStopping | None:
        """The exception to raise after a last checkpoint; None unless the work must stop."""
        if self._cancel:
            return JobCancelled()
        if self._pause:
            return JobPaused()
        return WorkerStopping() if self._drain else None

    def record(self, event: NewEvent) -> None:
        """Store the event with the next heartbeat, at most `report_seconds` from now."""
        self._events.append(event)

    def send_heartbeat(self) -> None:
        """Send a heartbeat now, with all recorded events.

        Raises:
            LeaseLost: Another worker has the job.
        """
        with self._send_lock:
            events = [self._events.popleft() for _ in range(len(self._events))]
            content = Heartbeat(
                self.phase,
                self.step,
                self.step_timeout_s,
                self.progress,
                self.usage.snapshot(),
                events,
            )
            started = time.monotonic()
            try:
                with write() as session:
                    requests = self.heartbeat(session, content)
            except SQLAlchemyError:
                self._events.extendleft(reversed(events))
                raise
            self._renewed_at = started
            self._cancel, self._pause = requests.cancel, requests.pause

    def _renew_loop(self) -> None:
        settings, last = self._settings, time.monotonic()
        while not self._stop.wait(min(0.2, settings.report_seconds, settings.heartbeat_seconds)):
            self._poll()
            if self._is_lost():
                self._abort_process()
                return
            elapsed = time.monotonic() - last
            is_due = elapsed >= settings.heartbeat_seconds or (
                self._events and elapsed >= settings.report_seconds
            )
            if not is_due:
                continue
            last = time.monotonic()
            try:
                self.send_heartbeat()
            except LeaseLost:
                self._lost = True
            except SQLAlchemyError as error:
                # The lease is still valid: retry every second until it expires.
                log.warning("heartbeat failed", extra={"cause": type(error).__name__})
                last += 1.0 - max(1.0, settings.heartbeat_seconds)

    def _poll(self) -> None:
        """Notice that the worker is shutting down, and update the timeout of the current step."""
        self._drain = self._is_draining() or self._drain
        now, (phase, step) = time.monotonic(), (self.phase, self.step)
        if (phase, step) == self._seen:
            return
        if self._seen[0] == phase:  # the time in another phase, such as loading, is not a step
            self._slowest_step_s = max(self._slowest_step_s, now - self._seen_at)
        timeout_s = Heartbeat.step_timeout_s
        if phase == "training" and step != self._seen[1]:  # the first step may take long
            timeout_s = max(
                self._settings.step_timeout_seconds, STEP_TIMEOUT_FACTOR * self._slowest_step_s
            )
        self._seen, self._seen_at, self.step_timeout_s = (phase, step), now, timeout_s

    def _abort_process(self) -> None:
        """Exit the process unless the work notices the lost lease within another lease period."""
        if not self._stop.wait(self._settings.lease_seconds):
            log.critical("step hangs; exiting the process", extra={"phase": self.phase})
            self._exit_process(HUNG_EXIT_CODE)

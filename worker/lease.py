"""Holding on to a job while it runs: a thread renews the lease, stores what happened since, and
brings back what is asked of the job. The work itself only looks at `check()`.

Work that does not look, because its step hangs, is left: once the job is in other hands the thread
ends the whole process, so that the worker is free for another job."""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from core import jobs
from core.database import write
from core.jobs import Claim, Heartbeat, LeaseLost, NewEvent, StopRequests
from core.settings import Settings
from worker import worker_lock
from worker.resource_usage import Usage

log = logging.getLogger(__name__)


HUNG_EXIT_CODE = 70  # the exit status of a process that was left because its step hung
STEP_TIMEOUT_FACTOR = 20  # a step that takes this many times the slowest one so far hangs


class JobCancelled(Exception):
    """The job was asked to end; its last checkpoint stands."""


class JobPaused(Exception):
    """The job was asked to wait; it goes on from its last checkpoint when it is resumed."""


class WorkerStopping(Exception):
    """This worker was asked to stop; somebody else goes on with the job."""


class Lease:
    """Use as a context. `check()` is cheap enough for every step."""

    def __init__(
        self,
        claim: Claim,
        settings: Settings,
        *,
        folder: Path | None = None,
        heartbeat: Callable[[Session, Heartbeat], StopRequests] | None = None,
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        """`folder`: the worker's, with its slot and its drain flag. `beat`: what a heartbeat
        writes, if not the job's own; it may be set later."""
        self.claim = claim
        self.heartbeat = heartbeat or (lambda session, beat: jobs.heartbeat(session, claim, beat))
        self.phase = "preparing"
        self.step = 0
        self.step_timeout_s = Heartbeat.step_timeout_s
        self.progress: dict[str, Any] = {}
        self.usage = Usage()
        self._settings = settings
        self._folder, self._exit_process = folder, exit_process
        self._events: deque[NewEvent] = deque()
        self._lost = self._cancel = self._pause = self._drain = False
        self._stop = threading.Event()
        self._sending = threading.Lock()
        self._renewed = time.monotonic()
        self._at, self._since, self._slowest_s = ("preparing", 0), time.monotonic(), 0.0
        self._thread = threading.Thread(target=self._renew_loop, name="lease", daemon=True)

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

    def check(self) -> None:
        """Raises LeaseLost when nothing more may be written."""
        if self._is_lost():
            raise LeaseLost(self.claim.job_id)

    def _is_lost(self) -> bool:
        return self._lost or time.monotonic() - self._renewed > self._settings.lease_seconds

    @property
    def stopping(self) -> JobCancelled | JobPaused | WorkerStopping | None:
        """What to raise, once a last checkpoint is saved, when the work should stop."""
        if self._cancel:
            return JobCancelled()
        if self._pause:
            return JobPaused()
        return WorkerStopping() if self._drain else None

    def record(self, event: NewEvent) -> None:
        """Store the event with the next heartbeat, at most `report_seconds` from now."""
        self._events.append(event)

    def send_heartbeat(self) -> None:
        """Send a heartbeat now, with everything told so far. Raises LeaseLost."""
        with self._sending:
            events = [self._events.popleft() for _ in range(len(self._events))]
            beat = Heartbeat(
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
                    orders = self.heartbeat(session, beat)
            except SQLAlchemyError:
                self._events.extendleft(reversed(events))
                raise
            self._renewed = started
            self._cancel, self._pause = orders.cancel, orders.pause

    def _renew_loop(self) -> None:
        settings, last = self._settings, time.monotonic()
        while not self._stop.wait(min(0.2, settings.report_seconds, settings.heartbeat_seconds)):
            self._poll()
            if self._is_lost():
                self._abort_process()
                return
            waited = time.monotonic() - last
            due = waited >= settings.heartbeat_seconds or (
                self._events and waited >= settings.report_seconds
            )
            if not due:
                continue
            last = time.monotonic()
            try:
                self.send_heartbeat()
            except LeaseLost:
                self._lost = True
            except SQLAlchemyError as error:
                # The lease still runs: try again until it does not.
                log.warning("no heartbeat", extra={"cause": type(error).__name__})

    def _poll(self) -> None:
        """Is the worker to stop; does the work move, and how long may its present step take."""
        if self._folder is not None:
            self._drain = self._drain or (self._folder / "drain").exists()
            worker_lock.touch(self._folder)
        now, at = time.monotonic(), (self.phase, self.step)
        if at == self._at:
            return
        if self._at[0] == at[0]:  # else it was loading or compiling, once
            self._slowest_s = max(self._slowest_s, now - self._since)
        patience_s = Heartbeat.step_timeout_s
        if at[0] == "training" and at[1] != self._at[1]:  # the first step may take long
            patience_s = max(
                self._settings.step_timeout_seconds, STEP_TIMEOUT_FACTOR * self._slowest_s
            )
        self._at, self._since, self.step_timeout_s = at, now, patience_s

    def _abort_process(self) -> None:
        """The work has a lease's time to notice that it has lost the job."""
        if not self._stop.wait(self._settings.lease_seconds):
            log.critical("a step hangs; leaving the process", extra={"job_id": self.claim.job_id})
            self._exit_process(HUNG_EXIT_CODE)

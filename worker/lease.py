"""Holding on to a job while it runs: a thread renews the lease, stores what happened since, and
brings back what is asked of the job. The work itself only looks at `check()`."""

import logging
import threading
import time
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError

from core import jobs
from core.database import write
from core.jobs import Beat, Claim, LeaseLost, NewEvent
from core.settings import Settings
from worker.usage import Usage

log = logging.getLogger(__name__)


class Cancelled(Exception):
    """The job was asked to end; its last checkpoint stands."""


class Paused(Exception):
    """The job was asked to wait; it goes on from its last checkpoint when it is resumed."""


class Drained(Exception):
    """This worker was asked to stop; somebody else goes on with the job."""


class Lease:
    """Use as a context. `check()` is cheap enough for every step."""

    def __init__(self, claim: Claim, settings: Settings, *, drain_file: Path | None = None) -> None:
        self.claim = claim
        self.phase = "preparing"
        self.step = 0
        self.patience_s = Beat.patience_s
        self.progress: dict[str, Any] = {}
        self.usage = Usage()
        self._settings = settings
        self._drain_file = drain_file
        self._events: deque[NewEvent] = deque()
        self._lost = self._cancel = self._pause = self._drain = False
        self._stop = threading.Event()
        self._sending = threading.Lock()
        self._renewed = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

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
        if self._lost or time.monotonic() - self._renewed > self._settings.lease_s:
            raise LeaseLost(self.claim.job_id)

    @property
    def stopping(self) -> Cancelled | Paused | Drained | None:
        """What to raise, once a last checkpoint is saved, when the work should stop."""
        if self._cancel:
            return Cancelled()
        if self._pause:
            return Paused()
        return Drained() if self._drain else None

    def tell(self, event: NewEvent) -> None:
        """Store the event with the next heartbeat, at most `report_s` from now."""
        self._events.append(event)

    def flush(self) -> None:
        """Send a heartbeat now, with everything told so far. Raises LeaseLost."""
        with self._sending:
            events = [self._events.popleft() for _ in range(len(self._events))]
            beat = Beat(
                self.phase, self.step, self.patience_s, self.progress, self.usage.so_far(), events
            )
            started = time.monotonic()
            try:
                with write() as session:
                    orders = jobs.heartbeat(session, self.claim, beat)
            except SQLAlchemyError:
                self._events.extendleft(reversed(events))
                raise
            self._renewed = started
            self._cancel, self._pause = orders.cancel, orders.pause

    def _keep(self) -> None:
        settings, last = self._settings, time.monotonic()
        while not self._stop.wait(min(0.2, settings.report_s, settings.heartbeat_s)):
            if self._drain_file is not None and self._drain_file.exists():
                self._drain = True
            waited = time.monotonic() - last
            due = waited >= settings.heartbeat_s or (self._events and waited >= settings.report_s)
            if not due:
                continue
            last = time.monotonic()
            try:
                self.flush()
            except LeaseLost:
                self._lost = True
                return
            except SQLAlchemyError as error:
                # The lease still runs: try again until it does not.
                log.warning("no heartbeat", extra={"cause": type(error).__name__})

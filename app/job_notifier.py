"""Background thread that notifies workers of new jobs after the response is sent.

Sent notifications are recorded in batches, so POST /v1/jobs needs only one transaction. If this
process ends before it sends a notification, the sweeper sends it.
"""

import logging
import threading
import time
from functools import lru_cache
from queue import Empty, SimpleQueue

from sqlalchemy.exc import SQLAlchemyError

from core import broker, jobs
from core.database import write
from core.devices import DeviceKind
from core.tables import Job

log = logging.getLogger(__name__)

RECORD_INTERVAL_S = 1.0  # below 5 s, after which the sweeper publishes unrecorded jobs again


class JobNotifier:
    def __init__(self) -> None:
        self._pending: SimpleQueue[tuple[str, str, DeviceKind | None]] = SimpleQueue()
        self._published: list[str] = []  # ids of jobs that are not recorded yet
        self._record_at = 0.0
        threading.Thread(target=self._run, name="job-notifier", daemon=True).start()

    def notify(self, job: Job) -> None:
        """Publish the job soon; returns at once."""
        self._pending.put((job.queue, job.id, job.device_kind))

    def _run(self) -> None:
        while True:
            try:
                self._publish_next()
            except Exception:  # nothing restarts this thread, so it must not end
                log.exception("A job notification was not sent.")

    def _publish_next(self) -> None:
        timeout = max(0.0, self._record_at - time.monotonic()) if self._published else None
        try:
            queue, job_id, kind = self._pending.get(timeout=timeout)
        except Empty:
            self._record()
            return
        if broker.publish(queue, kind):
            if not self._published:
                self._record_at = time.monotonic() + RECORD_INTERVAL_S
            self._published.append(job_id)
        if self._published and time.monotonic() >= self._record_at:
            self._record()

    def _record(self) -> None:
        published, self._published = self._published, []
        try:
            with write() as session:
                jobs.mark_notified(session, published)
        except SQLAlchemyError as error:
            log.warning(
                "Sent job notifications could not be recorded.",
                extra={"cause": type(error).__name__},
            )


@lru_cache
def get_job_notifier() -> JobNotifier:
    return JobNotifier()

"""Background thread that notifies workers of new jobs after the response is sent.

Sent notifications are recorded in batches, so POST /v1/jobs needs only one transaction. If this
process ends before it sends a notification, the sweeper of a worker sends it. While no worker
lives, this thread looks for notifications that were lost, for example with the memory of the
broker: an autoscaler may start workers by the length of the broker's queues.
"""

import logging
import threading
import time
from queue import Empty, SimpleQueue
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.exc import SQLAlchemyError

from core import broker, jobs
from core.database import read, write
from core.devices import DeviceKind
from core.jobs import Notification
from core.settings import get_settings
from core.tables import Job

log = logging.getLogger(__name__)

LOST_AFTER_S = 30.0  # without a worker that takes the job
CLOSE_TIMEOUT_S = 5.0
RECORD_INTERVAL_S = 1.0  # below 5 s, after which the sweeper publishes unrecorded jobs again


class JobNotifier:
    """A thread that notifies workers until `close` is called."""

    def __init__(self) -> None:
        # None: publish nothing more.
        self._pending: SimpleQueue[tuple[str, str, DeviceKind | None] | None] = SimpleQueue()
        self._closed = False
        self._published: list[str] = []  # ids of jobs that are not recorded yet
        self._record_at = 0.0
        self._search_at = 0.0
        self._thread = threading.Thread(target=self._run, name="job-notifier", daemon=True)
        self._thread.start()

    def notify(self, job: Job) -> None:
        """Publish the job soon; returns at once."""
        self._pending.put((job.queue, job.id, job.device_kind))

    def close(self) -> None:
        """Publish and record what is pending, if the broker and the database answer in time."""
        self._pending.put(None)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _run(self) -> None:
        while not self._closed:
            try:
                self._publish_next()
            except Exception:  # nothing restarts this thread, so it must not end
                log.exception("A job notification was not sent.")

    def _publish_next(self) -> None:
        if time.monotonic() >= self._search_at:
            self._search_at = time.monotonic() + LOST_AFTER_S
            for lost in find_lost_notifications():
                self._pending.put((lost.queue, lost.job_id, lost.kind))
        next_at = min(self._record_at, self._search_at) if self._published else self._search_at
        timeout = max(0.0, next_at - time.monotonic())
        try:
            next_job = self._pending.get(timeout=timeout)
        except Empty:
            next_job = None
        else:
            self._closed = next_job is None
        if next_job is None:
            if self._published:
                self._record()
            return
        queue, job_id, kind = next_job
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


def find_lost_notifications() -> list[Notification]:
    """Return notifications to send again: no worker lives, and their queue in the broker is empty.

    Returns none if the database or the broker does not answer.
    """
    if not get_settings().broker_url.get_secret_value():
        return []
    from kombu.exceptions import OperationalError  # slow to load

    try:
        with read() as session:
            lost = jobs.find_lost_notifications(session, LOST_AFTER_S)
        queues = {(each.queue, each.kind) for each in lost}
        empty = {queue for queue in queues if broker.count_messages(*queue) == 0}
    except (SQLAlchemyError, OperationalError, OSError) as error:
        cause = {"cause": type(error).__name__}
        log.warning("Lost job notifications were not searched.", extra=cause)
        return []
    return [each for each in lost if (each.queue, each.kind) in empty]


async def _of_application(request: Request) -> JobNotifier:
    notifier: JobNotifier = request.app.state.job_notifier
    return notifier


Notifier = Annotated[JobNotifier, Depends(_of_application)]

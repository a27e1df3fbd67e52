"""Hints of new jobs go out after the answer, by one thread, and that they did is noted for many at
once: a POST costs one transaction. What is lost with this process the workers find themselves."""

import logging
import queue as queues
import threading
import time
from functools import lru_cache

from sqlalchemy.exc import SQLAlchemyError

from core import broker, jobs
from core.database import write
from core.tables import Job

log = logging.getLogger(__name__)

RECORD_INTERVAL_S = 1.0  # a hint that is not noted is sent again by a sweeper, after 5 s


class JobNotifier:
    def __init__(self) -> None:
        self._waiting: queues.SimpleQueue[tuple[str, str]] = queues.SimpleQueue()
        self._sent: list[str] = []
        self._due = 0.0
        threading.Thread(target=self._run, name="hints", daemon=True).start()

    def notify(self, job: Job) -> None:
        self._waiting.put((job.queue, job.id))

    def _run(self) -> None:
        while True:
            try:
                self._turn()
            except Exception:  # a thread that ends would be missed by nobody
                log.exception("a hint was not sent")

    def _turn(self) -> None:
        wait = max(0.0, self._due - time.monotonic()) if self._sent else None
        try:
            name, job_id = self._waiting.get(timeout=wait)
        except queues.Empty:
            self._note()
            return
        if broker.publish(name, job_id):
            if not self._sent:
                self._due = time.monotonic() + RECORD_INTERVAL_S
            self._sent.append(job_id)
        if self._sent and time.monotonic() >= self._due:
            self._note()

    def _note(self) -> None:
        sent, self._sent = self._sent, []
        try:
            with write() as session:
                jobs.mark_notified(session, sent)
        except SQLAlchemyError as error:
            log.warning("hints are not noted", extra={"cause": type(error).__name__})


@lru_cache
def get_job_notifier() -> JobNotifier:
    return JobNotifier()

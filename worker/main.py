"""`semblance-server worker`: keeps Celery's worker going, and does what hints may miss.

This process holds no torch and no job. It starts Celery (when there is a broker), sweeps overdue
jobs, looks into the table by itself and starts `worker.run_once` when the slot is free, finishes
datasets that an API left behind, and, when told to stop, has the running job saved and given back.
"""

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import takewhile

from sqlalchemy.exc import SQLAlchemyError

from core import broker, jobs, webhooks, workers
from core.database import read, write
from core.datasets import ingestion
from core.errors import SemblanceError
from core.ids import new_id
from core.logging_config import configure
from core.settings import Settings, get_settings
from core.storage import get_storage
from worker import benchmark_cpu, worker_lock

log = logging.getLogger(__name__)

GARBAGE_COLLECTION_S = 60.0


class WorkerMain:
    def __init__(self, settings: Settings, queues: Sequence[str]) -> None:
        self.settings = settings
        self.queues = list(queues)
        self.id = new_id("wkr")
        self.folder = settings.scratch / self.id
        self.folder.mkdir(mode=0o700)
        self.gflops: float | None = None
        self._stop = threading.Event()
        self._celery: subprocess.Popen[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._celery_next, self._celery_wait = 0.0, 1.0
        self._lock_monitor = worker_lock.LockMonitor(self.folder)

    def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        threads = [
            threading.Thread(target=self._every, args=args, daemon=True)
            for args in (
                (self.settings.sweep_seconds, self._sweep),
                (self.settings.sweep_seconds, self._validate_dataset),
                (min(1.0, self.settings.poll_seconds), self._deliver_webhooks),
                (GARBAGE_COLLECTION_S, self._collect_garbage),
            )
        ]
        for thread in threads:
            thread.start()
        threading.Thread(target=self._measure, daemon=True).start()
        log.info("worker ready", extra={"worker": self.id, "queues": self.queues})
        self._every(min(1.0, self.settings.poll_seconds), self._supervise)
        self._drain()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _every(self, seconds: float, action: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                action()
            except (SQLAlchemyError, SemblanceError, OSError) as error:
                log.warning("will try again", extra={"cause": type(error).__name__})
            except Exception:  # a loop that ends would be missed by nobody until it is needed
                log.exception("will try again")
            self._stop.wait(seconds)

    def _supervise(self) -> None:
        """Celery runs, and a due job that no hint has brought is started."""
        with_broker = bool(self.settings.broker_url.get_secret_value())
        if with_broker and self._celery_is_due():
            self._celery = self._start_celery()
        self._kill_stuck_holder()
        if self._child is not None and self._child.poll() is None:
            return
        grace = self.settings.poll_seconds if with_broker else 0.0
        with read() as session:
            overdue = jobs.has_due_jobs(session, self.queues, grace)
            overdue = overdue or jobs.has_idle_shards(session, self.queues, grace)
        if overdue and worker_lock.is_free(self.folder):
            self._child = self._start("worker.run_once")

    def _celery_is_due(self) -> bool:
        """It does not run; a Celery that ends soon after its start is given time."""
        if self._celery is not None and self._celery.poll() is None:
            return False
        now = time.monotonic()
        if now < self._celery_next:
            return False
        soon = now - self._celery_next < 60
        self._celery_wait = min(30.0, 2 * self._celery_wait) if soon else 1.0
        self._celery_next = now + self._celery_wait
        return True

    def _kill_stuck_holder(self) -> None:
        """Of a process that stands still, so that not even the thread that keeps its lease runs."""
        patience = 2 * self.settings.lease_seconds + self.settings.heartbeat_seconds
        holder = self._lock_monitor.stuck_holder(patience)
        if holder is not None:
            log.critical("a job's process stands still; killed", extra={"pid": holder})
            with contextlib.suppress(ProcessLookupError):
                os.kill(holder, signal.SIGKILL)

    def _sweep(self) -> None:
        with write() as session:
            hints = jobs.sweep(session)
            host = socket.gethostname()
            workers.heartbeat(session, self.id, queues=self.queues, host=host, gflops=self.gflops)
        sent = list(takewhile(lambda hint: broker.publish(hint.queue, hint.job_id), hints))
        if sent:  # else the broker is away, and the poller does the work meanwhile
            with write() as session:
                jobs.mark_notified(session, [hint.job_id for hint in sent])

    def _measure(self) -> None:
        self.gflops = benchmark_cpu.measure_gflops()

    def _validate_dataset(self) -> None:
        ingestion.validate(get_storage())

    def _deliver_webhooks(self) -> None:
        webhooks.deliver_due(stop=self._stop)

    def _collect_garbage(self) -> None:
        with write() as session:
            webhooks.purge(session, self.settings.webhook_retention_seconds)
        if removed := jobs.remove_orphans(get_storage()):
            log.info("files that nobody names are removed", extra={"files": removed})

    def _start_celery(self) -> subprocess.Popen[bytes]:
        return self._start(
            "celery",
            *("-A", "worker.tasks", "worker", "--queues", ",".join(self.queues)),
            *("--hostname", f"{self.id}@%h", "--without-gossip", "--without-mingle"),
            *("--loglevel", "WARNING"),
        )

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        threads = str(self.settings.training_threads)
        environment = os.environ | {
            "SEMBLANCE_WORKER_FOLDER": str(self.folder),
            "SEMBLANCE_WORKER_QUEUES": json.dumps(self.queues),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        }
        return subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", module, *arguments], env=environment
        )

    def _drain(self) -> None:
        """Have the running job checkpointed and given back, then stop what runs it."""
        (self.folder / "drain").touch()
        patience = time.monotonic() + self.settings.shutdown_grace_seconds
        while time.monotonic() < patience and not worker_lock.is_free(self.folder):
            time.sleep(0.1)
        for process in (self._child, self._celery):
            if process is not None and process.poll() is None:
                process.terminate()
        for process in (self._child, self._celery):
            if process is None:
                continue
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        with write() as session:
            workers.deregister(session, self.id)


def main(queues: Sequence[str] = ()) -> None:
    configure()
    settings = get_settings()
    WorkerMain(settings, queues or settings.worker_queues).run()


if __name__ == "__main__":
    main(sys.argv[1:])

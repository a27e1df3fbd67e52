"""Supervisor process of a worker, started by `semblance-server worker`.

This process does not import torch and does not run jobs. It checks the worker's device, starts
Celery (if there is a broker), recovers abandoned work, polls the job table and starts
`worker.run_once` for due jobs that Celery did not start, validates datasets that an API process
left unfinished, and delivers webhooks. When it is stopped, it waits until the running job has saved
a checkpoint and is released.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path

import psutil
from sqlalchemy.exc import SQLAlchemyError

from core import broker, jobs, retention, tenants, workers
from core.database import get_engine, read, write
from core.datasets import repository, uploads
from core.devices import DeviceKind
from core.errors import SemblanceError
from core.ids import new_id
from core.logging_config import configure
from core.settings import QUEUES, Settings, get_settings
from core.storage import get_storage
from core.supervisor import end_with_parent
from core.webhooks import delivery
from modalities import ingestion
from worker import benchmark_cpu, metrics, worker_folder, worker_lock
from worker.device_monitor import DeviceMonitor
from worker.device_probe import find_device
from worker.host_duty import HostDuty

log = logging.getLogger(__name__)

GARBAGE_COLLECTION_S = 60.0
RETENTION_S = 3_600.0


class WorkerMain:
    def __init__(self, settings: Settings, queues: Sequence[str], folder: Path) -> None:
        """Create the worker. `folder` is its own, and its name is the worker's id."""
        self.settings = settings
        self.queues = list(queues)
        self.id, self.folder = folder.name, folder
        self.gflops: float | None = None
        self.device = DeviceMonitor(
            find_device(settings.device),
            self.folder,
            settings.device_check_seconds,
            is_idle=lambda: worker_lock.is_free(self.folder),
        )
        self._busy = metrics.BusyTime()
        self._stop = threading.Event()
        self._celery: subprocess.Popen[bytes] | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._celery_start_at, self._celery_backoff_s = 0.0, 1.0
        self._lock_monitor = worker_lock.LockMonitor(self.folder)
        self._description_age_s = 6 * settings.sweep_seconds
        self._duty = HostDuty(settings.scratch, self._description_age_s)
        self._poll_at = 0.0

    def run(self) -> None:
        for signal_number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signal_number, lambda *_: self._stop.set())
        get_engine()  # before the threads, which share its connections
        threads = [
            threading.Thread(target=self._every, args=args, daemon=True)
            for args in (
                (min(1.0, self.settings.poll_seconds), self.device.check),
                (self.settings.sweep_seconds, self._describe),
                (self.settings.sweep_seconds, self._for_host(self._sweep)),
                (self.settings.sweep_seconds, self._for_host(self._validate_dataset)),
                (min(1.0, self.settings.poll_seconds), self._for_host(self._deliver_webhooks)),
                (GARBAGE_COLLECTION_S, self._for_host(self._measure)),
                (GARBAGE_COLLECTION_S, self._for_host(self._collect_garbage)),
                (RETENTION_S, self._for_host(self._apply_retention)),
            )
        ]
        self._describe()  # the first heartbeat needs it
        for thread in threads:
            thread.start()
        self._serve_metrics()
        log_fields = {"worker": self.id, "queues": self.queues, "device": self.device.report.id}
        log.info("worker ready", extra=log_fields)
        self._every(min(1.0, self.settings.poll_seconds), self._supervise)
        self._drain()

    def _for_host(self, action: Callable[[], None]) -> Callable[[], None]:
        """Return `action`, done by one of the host's workers for all of them."""

        def act() -> None:
            if self._duty.acts():
                action()

        return act

    def _every(self, seconds: float, action: Callable[[], None]) -> None:
        while not self._stop.is_set():
            try:
                action()
            except (SQLAlchemyError, SemblanceError, OSError) as error:
                log.warning("action failed; will retry", extra={"cause": type(error).__name__})
            except Exception:  # nobody would notice that the thread ended
                log.exception("action failed; will retry")
            self._stop.wait(seconds)

    def _supervise(self) -> None:
        """Restart Celery if it ended, and run due jobs that Celery did not start.

        Without a working device, the worker leaves notifications and jobs to other workers.
        """
        self._busy.update(is_busy=not worker_lock.is_free(self.folder))
        if not self.device.works:
            self._stop_celery()
            return
        has_broker = bool(self.settings.broker_url.get_secret_value())
        if has_broker and self._celery_is_due():
            self._celery = self._start_celery()
        self._kill_stuck_holder()
        if self._child is not None:
            if self._child.poll() is None:
                return
            self._child, self._poll_at = None, 0.0
        if time.monotonic() < self._poll_at:
            return
        self._poll_at = time.monotonic() + self.settings.poll_seconds
        grace = self.settings.poll_seconds if has_broker else 0.0
        with read() as session:
            kind = self.device.kind
            overdue = jobs.has_due_jobs(session, self.queues, grace, kind)
            overdue = overdue or jobs.has_idle_shards(session, self.queues, grace, kind)
            is_idle = (
                self.settings.worker_until_idle
                and not overdue
                and not jobs.has_due_jobs(session, self.queues, 0.0, kind)
            )
        if not worker_lock.is_free(self.folder):
            return
        if overdue:
            self._child = self._start("worker.run_once")
        elif is_idle:
            self._stop.set()

    def _celery_is_due(self) -> bool:
        """Return True if Celery must be started; back off if it ended soon after its last start."""
        if self._celery is not None and self._celery.poll() is None:
            return False
        now = time.monotonic()
        if now < self._celery_start_at:
            return False
        ended_soon = now - self._celery_start_at < 60
        self._celery_backoff_s = min(30.0, 2 * self._celery_backoff_s) if ended_soon else 1.0
        self._celery_start_at = now + self._celery_backoff_s
        return True

    def _kill_stuck_holder(self) -> None:
        """Kill a job's process if not even its lease thread runs."""
        timeout_s = 2 * self.settings.lease_seconds + self.settings.heartbeat_seconds
        pid = self._lock_monitor.stuck_holder(timeout_s)
        if pid is not None:
            log.critical("job process does not respond; killing it", extra={"pid": pid})
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _describe(self) -> None:
        description = workers.describe(
            queues=self.queues,
            host=socket.gethostname(),
            gflops=self.device.gflops,  # of a CPU, the worker that acts for the host knows it
            device=self.device.report,
            version=version("semblance-server"),
            cpus=os.cpu_count() or 1,
            memory_bytes=psutil.virtual_memory().total,
        )
        worker_folder.describe(self.folder, description)
        self._duty.prove()

    def _sweep(self) -> None:
        """Requeue lost jobs, send the heartbeats of this host's workers and lost notifications."""
        alive = worker_folder.descriptions(self.settings.scratch, self._description_age_s)
        if not self._duty.is_mine():
            alive = {name: each for name, each in alive.items() if name == self.id}
        for description in alive.values():
            if description["device"]["kind"] == DeviceKind.CPU:
                description["gflops"] = self.gflops
        with write() as session:
            notifications = jobs.sweep(session)
            if alive:
                workers.heartbeats(session, alive)
        # If the broker is unavailable, the rest remains unsent: workers still poll for these jobs.
        sent = list(takewhile(lambda new: broker.publish(new.queue, new.kind), notifications))
        if sent:
            with write() as session:
                jobs.mark_notified(session, [notification.job_id for notification in sent])

    def _measure(self) -> None:
        if self.device.kind is DeviceKind.CPU and self.gflops is None:
            self.gflops = benchmark_cpu.measure_gflops()

    def _serve_metrics(self) -> None:
        if self.settings.worker_metrics_port:
            collector = metrics.WorkerCollector(
                self.device.report.id, lambda: self.device.works, self._busy
            )
            address, port = self.settings.worker_metrics_host, self.settings.worker_metrics_port
            metrics.serve(address, port, collector)

    def _validate_dataset(self) -> None:
        ingestion.validate(get_storage())

    def _deliver_webhooks(self) -> None:
        delivery.deliver_due(stop=self._stop)

    def _collect_garbage(self) -> None:
        worker_folder.remove_leftovers(self.settings.scratch)
        removed = jobs.remove_orphans(get_storage())
        removed += repository.remove_replaced(get_storage(), self.settings.orphan_retention_seconds)
        removed += uploads.remove_unused(get_storage(), self.settings.upload_retention_seconds)
        removed += tenants.remove_late_objects(get_storage())
        if removed:
            log.info("unreferenced files removed", extra={"files": removed})

    def _apply_retention(self) -> None:
        retention.apply(get_storage(), self.settings)

    def _start_celery(self) -> subprocess.Popen[bytes]:
        kind = self.device.kind
        names = [name for queue in self.queues for name in broker.queue_names(queue, kind)]
        # A process keeps the context of CUDA, some hundred MB, until it ends.
        limit = ("--max-tasks-per-child", "1") if kind is DeviceKind.GPU else ()
        return self._start(
            "celery",
            *("-A", "worker.tasks", "worker", "--queues", ",".join(names)),
            *("--hostname", f"{self.id}@%h", "--without-gossip", "--without-mingle"),
            *("--loglevel", "WARNING", *limit),
        )

    def _stop_celery(self) -> None:
        if self._celery is not None and worker_lock.is_free(self.folder):
            self._celery.terminate()
            self._wait(self._celery)
            self._celery = None

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        threads = str(self.settings.training_threads)
        environment = os.environ | {
            "SEMBLANCE_WORKER_FOLDER": str(self.folder),
            "SEMBLANCE_WORKER_QUEUES": json.dumps(self.queues),
            "SEMBLANCE_DEVICE": self.device.report.id,
            # A job goes on without the database until its lease would end.
            "SEMBLANCE_DATABASE_WAIT_SECONDS": str(self.settings.lease_seconds),
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
        }
        # Celery must not outlive this process. A job's process saves its job first.
        ends_with_parent = end_with_parent if module == "celery" else None
        return subprocess.Popen(  # noqa: S603 - our own modules
            [sys.executable, "-m", module, *arguments],
            env=environment,
            preexec_fn=ends_with_parent,
        )

    def _drain(self) -> None:
        """Wait until the running job has saved and released itself, then stop the processes."""
        worker_folder.request_drain(self.folder)
        deadline = time.monotonic() + self.settings.shutdown_grace_seconds
        while time.monotonic() < deadline and not worker_lock.is_free(self.folder):
            time.sleep(0.1)
        processes = [process for process in (self._child, self._celery) if process is not None]
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            self._wait(process)
        worker_folder.withdraw(self.folder)
        self._duty.release()
        with write() as session:
            workers.deregister(session, self.id)

    @staticmethod
    def _wait(process: subprocess.Popen[bytes]) -> None:
        """Wait until the process has ended after SIGTERM; kill it after 5 s."""
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(queues: Sequence[str] = ()) -> None:
    # For this process and its children. Each thread needs a connection for a moment at most.
    os.environ |= {
        "SEMBLANCE_DATABASE_POOL_SIZE": "1",
        "SEMBLANCE_DATABASE_MAX_CONNECTIONS": "2",
    }
    configure()
    settings = get_settings()
    queues = queues or settings.worker_queues
    if unknown := sorted(set(queues) - set(QUEUES)):
        sys.exit(f"Unknown queues: {', '.join(unknown)}. The queues are {', '.join(QUEUES)}.")
    worker_folder.remove_leftovers(settings.scratch)
    with worker_folder.create(settings.scratch / new_id("wkr")) as folder:
        WorkerMain(settings, queues, folder).run()


if __name__ == "__main__":
    main(sys.argv[1:])

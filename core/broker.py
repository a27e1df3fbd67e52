"""The Celery object and the one hint that it carries.

A message says: there is work in this queue, perhaps this job. It is never the record of anything:
the jobs table is. A lost message costs latency, a doubled one costs a look at the table.
"""

import logging
import threading
import time
from functools import lru_cache
from typing import TYPE_CHECKING

from core.settings import get_settings

if TYPE_CHECKING:
    from celery import Celery

RUN_TASK = "worker.tasks.run"
COOLDOWN_S = 5.0  # after a hint that the broker did not take
log = logging.getLogger(__name__)


@lru_cache
def get_celery() -> "Celery":
    from celery import Celery  # a third of a second, which the API's start need not wait for

    settings = get_settings()
    timeout = settings.publish_timeout_seconds
    celery = Celery("semblance", broker=settings.broker_url.get_secret_value() or None)
    celery.conf.update(
        # The message is a hint and the lease is the acknowledgement: taken off at once, never
        # delivered again by a visibility timeout while a long job still runs.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # No results, no events, no remote control: state lives in the database.
        task_ignore_result=True,
        result_backend=None,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        task_serializer="json",
        accept_content=["json"],
        # One job at a time in a fresh interpreter: CUDA does not survive a fork.
        worker_pool="prefork",
        worker_pool_start_method="spawn",
        worker_concurrency=1,
        # A fresh interpreter on a busy machine takes longer than the 4 s after which Celery would
        # kill it and start the next, for ever.
        worker_proc_alive_timeout=60.0,
        worker_max_tasks_per_child=500,
        worker_soft_shutdown_timeout=settings.shutdown_grace_seconds,
        worker_hijack_root_logger=False,
        # A frozen broker must not freeze a request: kombu's defaults wait for ever.
        broker_transport_options={
            "visibility_timeout": 6 * 3600,
            "socket_timeout": max(5.0, timeout),
            "socket_connect_timeout": timeout,
            "socket_keepalive": True,
            "retry_on_timeout": False,
            "health_check_interval": 10,
            "global_keyprefix": "semblance:",
        },
        broker_pool_acquire_timeout=timeout,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2},
    )
    return celery


def publish(queue: str, job_id: str) -> bool:
    """Wake a worker of `queue`; False when the broker did not take the hint in time.

    Call it after the commit: the worker must find the row. False is no error for the caller:
    workers look at the table by themselves.
    """
    settings = get_settings()
    if not settings.broker_url.get_secret_value() or _broker.is_left_alone():
        return False
    sent = threading.Event()

    def send() -> None:
        from kombu.exceptions import OperationalError

        try:
            get_celery().send_task(RUN_TASK, args=[job_id], queue=queue)
            sent.set()
        except (OperationalError, OSError, TimeoutError) as error:
            log.warning("the broker took no hint", extra={"cause": type(error).__name__})

    # In a thread of its own: the bound holds whatever the transport waits for.
    thread = threading.Thread(target=send, name="publish", daemon=True)
    thread.start()
    thread.join(settings.publish_timeout_seconds)
    _broker.answered(sent.is_set())
    return sent.is_set()


class _Broker:
    """A broker that did not answer is left alone for a while: not every request waits for it."""

    def __init__(self) -> None:
        self._until = 0.0

    def is_left_alone(self) -> bool:
        return time.monotonic() < self._until

    def answered(self, in_time: bool) -> None:
        self._until = 0.0 if in_time else time.monotonic() + COOLDOWN_S


_broker = _Broker()

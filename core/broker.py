"""The Celery app and the one message that it carries: a notification that there is work.

The jobs table, never the message, is the record of the work. A lost notification costs latency; a
duplicate one costs a query of the table.
"""

import logging
import threading
from functools import lru_cache
from typing import TYPE_CHECKING

from core.devices import DeviceKind
from core.settings import get_settings

if TYPE_CHECKING:
    from celery import Celery

RUN_TASK = "worker.tasks.run"
log = logging.getLogger(__name__)


@lru_cache
def get_celery() -> "Celery":
    from celery import Celery  # takes a third of a second, which would delay the API's start

    settings = get_settings()
    timeout = settings.publish_timeout_seconds
    celery = Celery("semblance", broker=settings.broker_url.get_secret_value() or None)
    celery.conf.update(
        # The lease is the real acknowledgement. Acknowledge the message early, so that a visibility
        # timeout never redelivers it while a long job is still running.
        task_acks_late=False,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        # No results, no events, no remote control: the database holds the state.
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
        # On a busy machine a fresh interpreter needs more than Celery's default of 4 s. Celery
        # would kill it and start the next one, forever.
        worker_proc_alive_timeout=60.0,
        worker_max_tasks_per_child=500,
        worker_soft_shutdown_timeout=settings.shutdown_grace_seconds,
        worker_hijack_root_logger=False,
        # A frozen broker must not block a request: kombu's defaults wait forever.
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


def queue_names(queue: str, kind: DeviceKind) -> tuple[str, str]:
    """Return the broker's queues of a worker: for jobs of any kind of device, and of this kind."""
    return queue, f"{queue}.{kind}"


def count_messages(queue: str, kind: DeviceKind | None = None) -> int:
    """Return the number of notifications that wait in the broker, as for `publish`.

    Raises:
        OperationalError, OSError: The broker does not answer (kombu's error, or the system's).
    """
    name = queue if kind is None else queue_names(queue, kind)[1]
    with get_celery().connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(name).message_count)


def publish(queue: str, kind: DeviceKind | None = None) -> bool:
    """Notify a worker of `queue`; return False if the broker did not accept the message in time.

    The message has no content: the worker takes the first due job, whichever was published.
    `kind` is the kind of device that the job needs; None if any will do.

    Call this after the commit, so that the worker sees the row. False is not an error for the
    caller, because workers also poll the table.
    """
    settings = get_settings()
    if not settings.broker_url.get_secret_value():
        return False
    name = queue if kind is None else queue_names(queue, kind)[1]
    sent = threading.Event()

    def send() -> None:
        from kombu.exceptions import OperationalError

        try:
            get_celery().send_task(RUN_TASK, queue=name)
            sent.set()
        except (OperationalError, OSError, TimeoutError) as error:
            log.warning(
                "The broker did not accept a notification.", extra={"cause": type(error).__name__}
            )

    # A separate thread enforces the timeout even if the transport blocks.
    thread = threading.Thread(target=send, name="publish", daemon=True)
    thread.start()
    thread.join(settings.publish_timeout_seconds)
    return sent.is_set()

"""Celery task that runs a job.

The message only says that there is work; the database decides which job is first.
"""

from celery.signals import setup_logging

from core import logging_config
from core.broker import RUN_TASK, get_celery
from core.settings import get_settings
from worker import device_loss, worker_folder, worker_lock
from worker.job_runner import own_folder, run_next

celery = get_celery()


@setup_logging.connect
def configure_logs(**_: object) -> None:
    logging_config.configure()


@celery.task(name=RUN_TASK)
def run() -> None:
    """Run the first due job, if any; do nothing if the worker is busy."""
    folder = own_folder()
    with worker_lock.try_acquire(folder) as acquired, device_loss.exit_on_loss(folder):
        if acquired and worker_folder.may_claim(folder):
            run_next(get_settings().worker_queues)

"""Celery's way in: a hint arrives, the table says what is to be done."""

from celery.signals import setup_logging

from core import logging_config
from core.broker import RUN_TASK, get_celery
from core.settings import get_settings
from worker import worker_lock
from worker.job_runner import run_next, worker_folder

celery = get_celery()


@setup_logging.connect
def configure_logs(**_: object) -> None:
    logging_config.configure()


@celery.task(name=RUN_TASK)
def run(job_id: str) -> None:
    """Run the job of the hint if it is due, else the next one; nothing if the worker is busy."""
    with worker_lock.try_acquire(worker_folder()) as ours:
        if ours:
            run_next(get_settings().worker_queues, job_id)

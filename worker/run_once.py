"""Process that runs the due jobs, then exits: `python -m worker.run_once`.

The worker's supervisor starts it for due jobs that Celery did not start.
"""

from core.logging_config import configure
from core.settings import get_settings
from worker import worker_lock
from worker.job_runner import run_next, worker_folder


def main() -> None:
    configure()
    queues = get_settings().worker_queues
    with worker_lock.try_acquire(worker_folder()) as acquired:
        while acquired and not (worker_folder() / "drain").exists() and run_next(queues):
            pass


if __name__ == "__main__":
    main()

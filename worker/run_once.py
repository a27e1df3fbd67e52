"""Process that runs the due jobs, then exits: `python -m worker.run_once`.

The worker's supervisor starts it for due jobs that Celery did not start.
"""

from core.logging_config import configure
from core.settings import get_settings
from worker import device_loss, worker_lock
from worker.job_runner import run_next, worker_folder


def main() -> None:
    configure()
    queues, folder = get_settings().worker_queues, worker_folder()
    with worker_lock.try_acquire(folder) as acquired, device_loss.exit_on_loss(folder):
        if device_loss.is_flagged(folder):
            return
        while acquired and not (folder / "drain").exists() and run_next(queues):
            pass


if __name__ == "__main__":
    main()

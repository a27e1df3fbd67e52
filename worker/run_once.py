"""Process that runs the due jobs, then exits: `python -m worker.run_once`.

The worker's supervisor starts it for due jobs that Celery did not start.
"""

from core.logging_config import configure
from core.settings import get_settings
from worker import device_loss, worker_folder, worker_lock
from worker.job_runner import own_folder, run_next


def main() -> None:
    configure()
    queues, folder = get_settings().worker_queues, own_folder()
    with worker_lock.try_acquire(folder) as acquired, device_loss.exit_on_loss(folder):
        while acquired and worker_folder.may_claim(folder) and run_next(queues):
            pass


if __name__ == "__main__":
    main()

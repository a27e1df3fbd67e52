"""`python -m worker.child`: run the jobs that are due, then end. Started by the poller."""

from core.logs import configure
from core.settings import get_settings
from worker import slot
from worker.run import run_next, worker_folder


def main() -> None:
    configure()
    queues = get_settings().worker_queues
    with slot.taken(worker_folder()) as ours:
        while ours and not (worker_folder() / "drain").exists() and run_next(queues):
            pass


if __name__ == "__main__":
    main()

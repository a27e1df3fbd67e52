"""One worker for each GPU of this machine: `python -m worker.gpu_workers {all|0,2} [queue …]`.

This process does not import torch. It starts a worker for each GPU, restarts those that exit, and
stops all of them when it is stopped.
"""

import logging
import signal
import sys
import threading
from collections.abc import Sequence

from core.logging_config import configure
from core.settings import get_settings
from core.supervisor import Service
from worker.device_probe import count_gpus

log = logging.getLogger(__name__)


def run(gpus: Sequence[int], queues: Sequence[str]) -> None:
    """Run a worker for each of the GPUs until SIGTERM or Ctrl-C.

    Each has a port for its metrics: the first one that of the setting, the next one the next port.
    """
    settings = get_settings()
    stop_timeout_s = settings.shutdown_grace_seconds + 15
    first_port = settings.worker_metrics_port
    services = [
        Service(
            f"worker of cuda:{gpu}",
            [sys.executable, "-m", "worker", *queues],
            {
                "SEMBLANCE_DEVICE": f"cuda:{gpu}",
                "SEMBLANCE_WORKER_METRICS_PORT": str(first_port + n if first_port else 0),
            },
            stop_timeout_s,
        )
        for n, gpu in enumerate(gpus)
    ]
    stopping = threading.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stopping.set())
    for service in services:
        service.start(sys.stderr.fileno())
    while not stopping.wait(0.2):
        for service in services:
            if service.should_restart():
                log.error("worker exited and is restarted", extra={"worker": service.name})
                service.kill_group()
                service.failures += 1
                service.start(sys.stderr.fileno())
    threads = [threading.Thread(target=service.stop) for service in services]
    for thread in threads:  # all at the same time: each saves the checkpoint of its job
        thread.start()
    for thread in threads:
        thread.join()


def main(arguments: Sequence[str]) -> int:
    configure()
    chosen, queues = arguments[0], [queue for queue in arguments[1:] if queue]
    gpus = range(count_gpus()) if chosen == "all" else [int(gpu) for gpu in chosen.split(",")]
    if not gpus:
        log.error("torch finds no GPU on this machine; start `semblance-server worker` instead")
        return 1
    run(gpus, queues)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Orderly end of the API: first it drains, then streams end, then it stops.

On SIGTERM, `/readyz` answers 503 for `drain_delay_seconds`, in which load balancers stop sending
requests, and everything else goes on. Then no new connections are accepted, and event streams and
waiting requests end; clients resume streams elsewhere. Other requests have
`request_grace_seconds` to end.
"""

import signal
import threading
from types import FrameType

import uvicorn

_draining = threading.Event()
_stopping = threading.Event()


def is_draining() -> bool:
    """Return True from SIGTERM on."""
    return _draining.is_set()


def is_stopping() -> bool:
    """Return True once streams and waiting requests must end."""
    return _stopping.is_set()


class DrainingServer(uvicorn.Server):
    """A server that drains for `drain_delay_s` after SIGTERM. A second signal ends that time."""

    def __init__(self, config: uvicorn.Config, drain_delay_s: float) -> None:
        super().__init__(config)
        self._drain_delay_s = drain_delay_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self._drain_delay_s and not is_draining():
            _draining.set()
            timer = threading.Timer(self._drain_delay_s, self._stop, (sig, frame))
            timer.daemon = True
            timer.start()
        else:
            self._stop(sig, frame)

    def _stop(self, sig: int, frame: FrameType | None) -> None:
        _draining.set()
        _stopping.set()
        super().handle_exit(sig, frame)

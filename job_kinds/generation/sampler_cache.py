"""Cache of the sampler that a job's process used last, because many small jobs use the same model.

The sampler is removed a minute after its last use: the process may outlive its model.
"""

import threading
from collections.abc import Callable

from modalities.sampling import Sampler

KEEP_S = 60.0


class SamplerCache:
    """Cache of one sampler, for `keep_s` seconds."""

    def __init__(self, keep_s: float = KEEP_S) -> None:
        self._keep_s = keep_s
        self._lock = threading.Lock()
        self._cached: tuple[str, Sampler] | None = None
        self._removal: threading.Timer | None = None

    def get(self, sha256: str, load: Callable[[], Sampler]) -> Sampler:
        """Return the sampler of the weights with this hash, from the cache or from `load`."""
        with self._lock:
            if self._removal is not None:
                self._removal.cancel()
            if self._cached is None or self._cached[0] != sha256:
                self._cached = None  # frees its memory first
                self._cached = (sha256, load())
            self._removal = threading.Timer(self._keep_s, self._remove)
            self._removal.daemon = True
            self._removal.start()
            return self._cached[1]

    def _remove(self) -> None:
        with self._lock:
            self._cached = None

"""Rules for sending a request again: when, how often, and with which pause."""

import random
import time

PATIENCE_S = 120.0  # outlives a restart of the service of a minute
FIRST_CONTACT_S = 5.0  # nothing listens at a wrong address, however long one waits
FIRST_DELAY_S, MAX_DELAY_S = 0.2, 5.0
RETRYABLE = frozenset({429, 502, 503, 504})


class Retries:
    """The tries of one request, until `patience` seconds have passed since the last progress."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self.started = time.monotonic()
        self.number = 0

    def note_progress(self) -> None:
        """Start again with all patience: the service has sent something new."""
        self.started, self.number = time.monotonic(), 0

    def next_delay(self, retry_after: float | None, *, connected: bool) -> float | None:
        """Return the seconds to wait before the next try, or None to give up.

        The pause is `retry_after` and a time that grows exponentially, with jitter: many clients
        that were rejected together do not come back together. While the service has never answered
        (`connected` is false), patience is short.
        """
        exponential = min(FIRST_DELAY_S * 2.0**self.number, MAX_DELAY_S)
        delay = (retry_after or 0.0) + random.uniform(0.5, 1.0) * exponential  # noqa: S311
        self.number += 1
        patience = self.patience if connected else min(self.patience, FIRST_CONTACT_S)
        return None if time.monotonic() + delay - self.started > patience else delay


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header, or None for a date, which is not supported."""
    return float(value) if value is not None and value.strip().isdecimal() else None

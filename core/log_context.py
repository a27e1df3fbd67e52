"""Fields that every log record of a request or a job has: its ids, and that of its trace."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Version 00 of W3C Trace Context: the ids of the trace and of the parent span. No id is all zeros.
_TRACEPARENT = re.compile(
    r"00-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})-[0-9a-f]{2}"
)
_fields: ContextVar[dict[str, object]] = ContextVar("log_fields", default={})  # noqa: B039 - never changed


@contextmanager
def log_fields(**fields: object) -> Iterator[None]:
    """Add the fields to all log records of the block, also in threads that copy the context."""
    token = _fields.set(_fields.get() | fields)
    try:
        yield
    finally:
        _fields.reset(token)


class LogContextFilter(logging.Filter):
    """Add the fields to each record that has no other value for them."""

    def filter(self, record: logging.LogRecord) -> bool:
        for name, value in _fields.get().items():
            if getattr(record, name, None) is None:
                setattr(record, name, value)
        return True


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the id of the trace that a `traceparent` header names; None if it is not valid."""
    match = _TRACEPARENT.fullmatch(traceparent or "")
    return match["trace"] if match else None

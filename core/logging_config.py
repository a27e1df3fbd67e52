"""Logging configuration: JSON lines on stderr, one object per record."""

import json
import logging
import sys
from datetime import UTC, datetime

from core.log_context import LogContextFilter
from core.settings import get_settings

_STANDARD = set(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {k: v for k, v in vars(record).items() if k not in _STANDARD and v is not None}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(LogContextFilter())
    logging.basicConfig(level=get_settings().log_level, handlers=[handler], force=True)
    for verbose_logger in ("celery.worker.strategy", "kombu", "alembic", "amqp"):
        logging.getLogger(verbose_logger).setLevel(logging.WARNING)

"""`/metrics`: metrics in the Prometheus text format 0.0.4."""

from collections.abc import Iterable, Iterator, Mapping

import psutil
from fastapi import APIRouter, Response

from app.authentication import AdminScope
from app.request_metrics import request_metrics
from core import metrics
from core.database import read
from core.storage import get_storage

router = APIRouter(tags=["operations"])

Values = Iterable[tuple[Mapping[str, str], float]]


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "Metrics by name and labels."}},
)
def read_metrics(_caller: AdminScope) -> Response:
    """Return metrics of all tenants' jobs, of the workers and of this process.

    Requires a key with the scope `admin`. In Prometheus, set `authorization.credentials`.
    """
    text = "".join(_lines())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _lines() -> Iterator[str]:
    with read() as session:
        for gauge in metrics.gauges(session):
            yield _metric(gauge.name, "gauge", gauge.description, gauge.values)
    requests = request_metrics.snapshot()
    yield _metric(
        "semblance_requests_total",
        "counter",
        "Number of responses of this process.",
        [(labels, count) for labels, count, _ in requests],
    )
    yield _metric(
        "semblance_request_seconds_total",
        "counter",
        "Total time in seconds until the responses began.",
        [(labels, seconds) for labels, _, seconds in requests],
    )
    process = psutil.Process()
    cpu = process.cpu_times()
    for name, kind, description, value in (
        (
            "process_cpu_seconds_total",
            "counter",
            "User and system CPU time in seconds.",
            cpu.user + cpu.system,
        ),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory in bytes.",
            process.memory_info().rss,
        ),
        ("process_open_fds", "gauge", "Number of open file descriptors.", process.num_fds()),
        (
            "process_start_time_seconds",
            "gauge",
            "Start of the process, in seconds since 1970.",
            process.create_time(),
        ),
    ):
        yield _metric(name, kind, description, [({}, value)])
    if (free := get_storage().free_bytes()) is not None:
        description = "Free space of the object storage in bytes."
        yield _metric("semblance_storage_free_bytes", "gauge", description, [({}, free)])


def _metric(name: str, kind: str, description: str, values: Values) -> str:
    lines = [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]
    for labels, value in values:
        pairs = ",".join(f'{label}="{_escape(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{pairs}}} {value:.17g}" if pairs else f"{name} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

"""`/metrics`: for Prometheus, in its text format 0.0.4."""

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
    responses={200: {"content": {"text/plain": {}}, "description": "metrics by name and labels"}},
)
def read_metrics(_caller: AdminScope) -> Response:
    """Jobs, queues, shards and workers of all tenants; requests and resources of this process.

    Needs a key with the scope `admin`: Prometheus sends one with `authorization.credentials`.
    """
    text = "".join(_lines())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _lines() -> Iterator[str]:
    with read() as session:
        for gauge in metrics.gauges(session):
            yield _metric(gauge.name, "gauge", gauge.description, gauge.values)
    counted = request_metrics.snapshot()
    yield _metric(
        "semblance_requests_total",
        "counter",
        "Requests that this process has answered.",
        [(labels, count) for labels, count, _ in counted],
    )
    yield _metric(
        "semblance_request_seconds_total",
        "counter",
        "Time until their answers began.",
        [(labels, seconds) for labels, _, seconds in counted],
    )
    process = psutil.Process()
    cpu = process.cpu_times()
    for name, kind, about, value in (
        ("process_cpu_seconds_total", "counter", "User and system time.", cpu.user + cpu.system),
        ("process_resident_memory_bytes", "gauge", "Memory.", process.memory_info().rss),
        ("process_open_fds", "gauge", "Open files.", process.num_fds()),
        ("process_start_time_seconds", "gauge", "Since 1970.", process.create_time()),
    ):
        yield _metric(name, kind, about, [({}, value)])
    if (free := get_storage().free_bytes()) is not None:
        about = "Room that is left where objects are stored."
        yield _metric("semblance_storage_free_bytes", "gauge", about, [({}, free)])


def _metric(name: str, kind: str, about: str, values: Values) -> str:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for labels, value in values:
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{inside}}} {value:.17g}" if inside else f"{name} {value:.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

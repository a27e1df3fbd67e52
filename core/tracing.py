"""OpenTelemetry spans from a request to its job and the job's steps. Off by default.

`SEMBLANCE_TRACES_URL` turns them on: an OTLP collector (http://collector:4318/v1/traces) or a file
(file:///var/log/spans.json, one JSON object a line). They need the extra `traces`. The context of a
span is passed on as a `traceparent`, in the header of a request and in the row of a job.

Without the setting, nothing of OpenTelemetry is imported, and a span costs one comparison.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from core.log_context import log_fields, trace_id_of
from core.settings import get_settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

Attributes = Mapping[str, str | int | float]

log = logging.getLogger(__name__)


@lru_cache
def _tracer(url: str) -> "Tracer | None":
    """Return the tracer of this process, which exports to `url`; None if spans are off."""
    if not url:
        return None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.error("spans need the extra `traces`; none are exported")
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": "semblance"}))
    provider.add_span_processor(BatchSpanProcessor(_exporter(url)))
    return provider.get_tracer("semblance")


def _exporter(url: str) -> "SpanExporter":
    target = urlsplit(url)
    if target.scheme == "file":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        # One write a span: processes append to the same file.
        out = open(target.path, "a", encoding="utf-8")  # noqa: SIM115 - as long as the process
        return ConsoleSpanExporter(out=out, formatter=lambda span: span.to_json(indent=None) + "\n")
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=url)


@contextmanager
def span(
    name: str, attributes: Attributes | None = None, *, parent: str | None = None
) -> Iterator[Any]:
    """Record the block as a span, a child of the current one or of the `traceparent` given.

    Log records of the block have its attributes and the id of its trace, also if spans are off.
    Yields the span of OpenTelemetry, or None if spans are off. An exception marks the span as
    failed.
    """
    fields = attributes or {}
    tracer = _tracer(get_settings().traces_url)
    if tracer is None:
        with log_fields(**fields, trace_id=trace_id_of(parent)):
            yield None
        return
    context = None
    if parent is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = TraceContextTextMapPropagator().extract({"traceparent": parent})
    with (
        tracer.start_as_current_span(name, context, attributes=attributes) as current,
        log_fields(**fields, trace_id=trace_id_of(current_traceparent())),
    ):
        yield current


def record_span(name: str, start_s: float, end_s: float, attributes: Attributes) -> None:
    """Record a span between two times in seconds since 1970, a child of the current one."""
    if (tracer := _tracer(get_settings().traces_url)) is not None:
        recorded = tracer.start_span(name, attributes=attributes, start_time=int(start_s * 1e9))
        recorded.end(int(end_s * 1e9))


def current_traceparent() -> str | None:
    """Return the context of the current span; None if spans are off."""
    if _tracer(get_settings().traces_url) is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def flush() -> None:
    """Export the spans that have ended, as before the process ends."""
    tracer = _tracer(get_settings().traces_url)
    if tracer is not None:
        tracer.span_processor.force_flush()  # type: ignore[attr-defined]

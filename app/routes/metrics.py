"""`/metrics`: metrics in the Prometheus text format 0.0.4."""

import prometheus_client
from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from app import sampling_metrics
from app.authentication import AdminScope, check_operator
from app.fairness.route import FairRoute
from app.openapi_responses import responses
from core.job_metrics import JobCollector
from core.metrics import DatabaseCollector, PoolCollector, StorageCollector

router = APIRouter(tags=["operations"], route_class=FairRoute)


def create_registry(*, of_service: bool) -> CollectorRegistry:
    """Return a registry with the metrics of this process, except those of requests.

    With `of_service`, also those of all jobs, workers and files, which only the API shows.
    """
    # Without the series `…_created`, which only the OpenMetrics format uses.
    prometheus_client.disable_created_metrics()
    registry = CollectorRegistry()
    if of_service:
        for collector in (DatabaseCollector(), JobCollector(), StorageCollector()):
            registry.register(collector)
    registry.register(PoolCollector())
    sampling_metrics.register(registry)
    ProcessCollector(registry=registry)
    return registry


@router.get(
    "/metrics",
    response_class=Response,
    responses=responses("text/plain", description="Metrics by name and labels."),
)
def read_prometheus_metrics(request: Request, caller: AdminScope) -> Response:
    """Return metrics of all tenants' jobs, of the workers and of this process.

    A sampler returns only those of its process.

    Requires a key of the default tenant with the scope `admin`. In Prometheus, set
    `authorization.credentials`.
    """
    check_operator(caller)
    text = generate_latest(request.app.state.metrics_registry)
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

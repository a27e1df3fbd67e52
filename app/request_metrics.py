"""Prometheus metrics of the requests that an application has answered."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import Scope

HTTP_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)


class RequestMetrics:
    """Number of responses, and histogram of the time until they began."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "semblance_requests_total",
            "Responses of this process, by method, route and status.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._durations = Histogram(
            "semblance_request_duration_seconds",
            "Time until the response began, in seconds, by method and route.",
            ("method", "route"),
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self._of_tenants = Counter(
            "semblance_tenant_requests_total",
            "Responses of this process to requests with a valid key, by tenant and status.",
            ("tenant", "status"),
            registry=registry,
        )
        # Finding a series by its labels takes longer than counting a request.
        self._series: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def record(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in HTTP_METHODS else "other"
        # The route's pattern, because clients can send arbitrarily many different paths.
        route = getattr(scope.get("route"), "path", "none")
        series = self._series.get((method, route, status))
        if series is None:
            series = (
                self._requests.labels(method, route, status),
                self._durations.labels(method, route),
            )
            self._series[method, route, status] = series
        count, durations = series
        count.inc()
        durations.observe(seconds)
        caller = scope.get("state", {}).get("caller")
        if caller is not None:
            self._of_tenants.labels(caller.tenant_id, status).inc()

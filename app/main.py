"""The FastAPI application: routers, exception handlers and middleware.

This module imports nothing that imports torch, so that the port opens quickly.
"""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from importlib.metadata import version
from types import ModuleType
from typing import Literal

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app import error_handlers, openapi, openapi_responses, preload
from app.fairness.start import FairStartMiddleware
from app.http_methods import METHODS, HttpMethodsMiddleware
from app.job_notifier import JobNotifier
from app.key_validity import KeyValidityMiddleware
from app.middleware import RequestValidationMiddleware
from app.request_metrics import RequestMetrics
from app.routes import (
    audit,
    comparison,
    dashboard,
    dataset_details,
    dataset_items,
    datasets,
    docs,
    events,
    health,
    job_deletion,
    job_details,
    jobs,
    keys,
    login,
    metrics,
    model_details,
    models,
    presets,
    sample_manifests,
    samples,
    service,
    signed_urls,
    tenants,
    uploads,
    usage,
    webhooks,
    workers,
)
from app.sampling.model_cache import removing_deleted_models
from core import process_folder
from core.database import get_engine
from core.settings import get_settings

ROUTE_MODULES = (
    health,
    service,
    presets,
    dataset_details,
    dataset_items,
    datasets,
    uploads,
    job_details,  # `/v1/jobs/metrics` before `/v1/jobs/{job_id}`
    jobs,
    job_deletion,
    events,
    comparison,  # before the routes of `/v1/models/{reference}`
    models,
    model_details,
    samples,
    sample_manifests,
    signed_urls,
    keys,
    login,
    tenants,
    workers,
    usage,
    audit,
    metrics,
    webhooks,
    dashboard,
    docs,
)
# Compressed already, or sent in ranges of bytes.
UNCOMPRESSED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    "application/octet-stream",
    "application/x-npz",
    "application/x-tar",
    "application/vnd.apache.parquet",
    "application/vnd.apache.arrow.stream",
)
DESCRIPTION = """Semblance is a self-hosted REST API that trains conditional generative models on \
labeled images or tables and returns any number of synthetic samples per label.

Every route except the health checks requires an API key: `Authorization: Bearer sem_…`. Errors are
problem documents (RFC 9457) with a stable `code`. Lists are paginated: pass `next` of a page as
`after` to get the following page."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # Starlette spools large uploads to disk: use our own folder instead of the shared /tmp.
    process_folder.remove_leftovers(get_settings().scratch)
    tempfile.tempdir = str(process_folder.get())
    get_engine()  # before the threads of requests, which share its connections
    if get_settings().preload:
        preload.start()
    with ExitStack() as stack:
        stack.enter_context(removing_deleted_models())
        if app.state.role == "api":
            app.state.job_notifier = stack.enter_context(closing(JobNotifier()))
        yield


def create_app() -> FastAPI:
    return _app(ROUTE_MODULES, "api")


def create_sampler_app() -> FastAPI:
    """Create an application with the sampling routes and metrics, for a separate process."""
    return _app((health, service, samples, metrics, docs), "sampler")


def _app(modules: Sequence[ModuleType], role: Literal["api", "sampler"]) -> FastAPI:
    settings = get_settings()
    app = FastAPI(
        title="Semblance",
        version=version("semblance-server"),
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        generate_unique_id_function=openapi.operation_id,
    )
    error_handlers.install(app)
    # Paths are compared with one route after another, and most requests are for samples.
    for module in sorted(modules, key=lambda module: module is not samples):
        app.include_router(module.router)
    routes = [route for module in modules for route in module.router.routes]
    openapi.install(app, routes)
    app.state.role = role
    app.state.metrics_registry = registry = metrics.create_registry(of_service=role == "api")
    app.add_middleware(KeyValidityMiddleware)
    app.add_middleware(GZipMiddleware, compresslevel=5, exclude_content_types=UNCOMPRESSED)
    app.add_middleware(HttpMethodsMiddleware, routes=[*routes, *app.routes])
    if settings.cors_allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_allowed_origins,
            allow_methods=METHODS,
            allow_headers=["*"],
            expose_headers=list(openapi_responses.HEADERS),
        )
    app.add_middleware(
        RequestValidationMiddleware,
        allowed_hosts=settings.allowed_hosts,
        metrics=RequestMetrics(registry),
        access_log=settings.access_log,
    )
    app.add_middleware(FairStartMiddleware)
    if settings.trusted_proxies:
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=settings.trusted_proxies)
    return app

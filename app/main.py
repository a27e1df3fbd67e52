"""The application: routers, one error handler, one guard. Nothing here imports torch."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import ModuleType

from fastapi import FastAPI
from fastapi_swagger import patch_fastapi

from app import error_handlers, preload
from app.fair_start import FairStartMiddleware
from app.middleware import RequestValidationMiddleware
from app.routes import (
    comparison,
    dataset_details,
    datasets,
    health,
    job_details,
    jobs,
    keys,
    metrics,
    model_details,
    models,
    sample_manifests,
    samples,
    service,
    signed_urls,
    uploads,
    usage,
    webhooks,
    workers,
)
from app.schemas.problem import RESPONSES
from core.settings import get_settings

ROUTE_MODULES = (
    health,
    service,
    dataset_details,
    datasets,
    uploads,
    jobs,
    job_details,
    models,
    model_details,
    comparison,
    samples,
    sample_manifests,
    signed_urls,
    keys,
    workers,
    usage,
    metrics,
    webhooks,
)
DESCRIPTION = """Learns from labelled images with conditional adversarial networks, and hands out
new samples by label and count.

Every route but the health checks needs a key: `Authorization: Bearer sem_…`. Errors are problem
documents (RFC 9457) with a stable `code`. Lists page by cursor: send `next` as `after`."""


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    # Large uploads are spooled to disk: into our own folder, not a shared one.
    tempfile.tempdir = str(get_settings().scratch)
    preload.start()
    yield


def create_app() -> FastAPI:
    return _app(ROUTE_MODULES)


def create_sampler_app() -> FastAPI:
    """Samples alone, for a process of its own beside the API."""
    return _app((health, service, samples))


def _app(modules: Sequence[ModuleType]) -> FastAPI:
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
        responses=RESPONSES,
    )
    error_handlers.install(app)
    for module in modules:
        app.include_router(module.router)
    patch_fastapi(app, redirect_from_root_to_docs=False, title="Semblance")
    app.add_middleware(RequestValidationMiddleware, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(FairStartMiddleware)  # the outermost
    return app

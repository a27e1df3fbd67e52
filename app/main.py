"""The application: routers, one error handler, one guard. Nothing here imports torch."""

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from types import ModuleType

from fastapi import FastAPI
from fastapi_swagger import patch_fastapi

from app import problems, warm_up
from app.middleware import RequestGuard
from app.routes import (
    comparison,
    dataset_records,
    datasets,
    health,
    job_records,
    jobs,
    keys,
    links,
    metrics,
    model_records,
    models,
    operations,
    receipts,
    samples,
    service,
    uploads,
    usage,
    webhooks,
)
from app.schemas.problem import RESPONSES
from app.turnstile import Turnstile
from core.settings import get_settings

ROUTES = (
    health,
    service,
    dataset_records,
    datasets,
    uploads,
    jobs,
    job_records,
    models,
    model_records,
    comparison,
    samples,
    receipts,
    links,
    keys,
    operations,
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
    warm_up.begin()
    yield


def create_app() -> FastAPI:
    return _app(ROUTES)


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
    problems.install(app)
    for module in modules:
        app.include_router(module.router)
    patch_fastapi(app, redirect_from_root_to_docs=False, title="Semblance")
    app.add_middleware(RequestGuard, allowed_hosts=settings.allowed_hosts)
    app.add_middleware(Turnstile)  # the outermost
    return app

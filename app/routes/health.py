"""Health checks without authentication: liveness and readiness."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app import shutdown
from core import workers
from core.database import read
from core.errors import SemblanceError
from core.migration import current, head
from core.settings import get_settings
from core.storage import get_storage
from core.tables import Worker

router = APIRouter(tags=["health"])


class Liveness(BaseModel):
    status: Literal["live"] = Field(description="The process responds.")


class Readiness(BaseModel):
    status: Literal["ready", "degraded", "not ready"] = Field(
        description="Whether all checks pass; `degraded` if only workers or GPUs are missing."
    )
    checks: dict[str, str] = Field(description="`ok` or the reason, by check.")


@router.get("/livez", response_model=Liveness)
async def check_liveness() -> Liveness:
    """Return 200 if the process responds."""
    return Liveness(status="live")


@router.get(
    "/readyz",
    response_model=Readiness,
    responses={503: {"description": "Not ready; `checks` has the reasons.", "model": Readiness}},
)
async def check_readiness(request: Request, response: Response) -> Readiness:
    """Check the database and its schema, the object storage and the disk space.

    Without an active worker, or with a GPU that does not work, the status is `degraded` and the
    response 200: the service works, but jobs wait. A sampler has only the checks that it needs.
    From SIGTERM on, the response is 503. Nothing is written.
    """
    checks = {"shutdown": _shutdown()} | await _shared_checks(request.app)
    failed = {name for name, reason in checks.items() if reason}
    response.status_code = 503 if failed - OPTIONAL else 200
    return Readiness(
        status="not ready" if failed - OPTIONAL else "degraded" if failed else "ready",
        checks={name: reason or "ok" for name, reason in checks.items()},
    )


Reasons = dict[str, str | None]  # why a check fails, by its name; None if it passes
OPTIONAL = {"worker", "gpus"}

# On a machine without time, probes arrive faster than they are answered, and their senders give up:
# if each ran its own checks, they would never catch up. Requests that hold all other threads do
# not delay them.
_threads = CapacityLimiter(1)


async def _shared_checks(app: FastAPI) -> Reasons:
    """Return the result of the checks that run now, or else of new ones."""
    loop = asyncio.get_running_loop()
    running: asyncio.Task[Reasons] | None = getattr(app.state, "readiness_checks", None)
    if running is None or running.done() or running.get_loop() is not loop:
        running = loop.create_task(_run_checks(app.state.role))
        app.state.readiness_checks = running
    return dict(await asyncio.shield(running))


async def _run_checks(role: str) -> Reasons:
    checks = _check_sampler if role == "sampler" else _check_api
    return await to_thread.run_sync(checks, limiter=_threads)


def _check_sampler() -> Reasons:
    return {"database": _reason(_database), "storage": _reason(_storage)}


def _check_api() -> Reasons:
    active: list[Worker] = []

    def find_active(session: Session) -> None:
        active.extend(workers.active(session))

    database = _reason(lambda: _database(find_active))
    return {
        "database": database,
        "storage": _reason(_storage),
        "disk": _reason(_disk),
        "worker": database or _workers(active),
        "gpus": database or _gpus(active),
    }


def _reason(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except SemblanceError as error:
        return error.detail
    except Exception:
        return "Does not respond."


def _shutdown() -> str | None:
    return "The server is shutting down." if shutdown.is_draining() else None


def _database(use: Callable[[Session], None] = lambda _: None) -> str | None:
    """Check the database and its schema, then use it in the same transaction."""
    with read() as session:
        if current(session.connection()) != head():
            return "The schema is not that of this version."
        use(session)
    return None


def _storage() -> str | None:
    get_storage().check_available()
    return None


def _disk() -> str | None:
    free = get_storage().free_bytes()
    needed = get_settings().min_free_disk_bytes
    return None if free is None or free >= needed else f"Less than {needed} bytes are free."


def _workers(active: Sequence[Worker]) -> str | None:
    return None if active else "No worker has sent a heartbeat for a minute."


def _gpus(active: Sequence[Worker]) -> str | None:
    devices = [workers.device_of(worker) for worker in active]
    broken = sorted({device.id for device in devices if device.error is not None})
    # Health checks need no API key, so the reasons are shown elsewhere.
    listed = ", ".join(broken)
    return f"GPUs that do not work: {listed}; see `GET /v1/workers`." if broken else None

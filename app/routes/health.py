"""Health checks without authentication: liveness and readiness."""

from collections.abc import Callable
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app import shutdown
from core import workers
from core.database import read
from core.errors import SemblanceError
from core.migration import current, head
from core.settings import get_settings
from core.storage import get_storage

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
def check_readiness(request: Request, response: Response) -> Readiness:
    """Check the database and its schema, the object storage and the disk space.

    Without an active worker, or with a GPU that does not work, the status is `degraded` and the
    response 200: the service works, but jobs wait. A sampler has only the checks that it needs.
    From SIGTERM on, the response is 503. Nothing is written.
    """
    names = SAMPLER_CHECKS if request.app.state.role == "sampler" else CHECKS
    checks = {name: _reason(CHECKS[name]) for name in names}
    failed = {name for name, reason in checks.items() if reason}
    response.status_code = 503 if failed - OPTIONAL else 200
    return Readiness(
        status="not ready" if failed - OPTIONAL else "degraded" if failed else "ready",
        checks={name: reason or "ok" for name, reason in checks.items()},
    )


def _reason(check: Callable[[], str | None]) -> str | None:
    try:
        return check()
    except SemblanceError as error:
        return error.detail
    except Exception:
        return "Does not respond."


def _shutdown() -> str | None:
    return "The server is shutting down." if shutdown.is_draining() else None


def _database() -> str | None:
    with read() as session:
        revision = current(session.connection())
    return None if revision == head() else "The schema is not that of this version."


def _storage() -> str | None:
    get_storage().check_available()
    return None


def _disk() -> str | None:
    free = get_storage().free_bytes()
    needed = get_settings().min_free_disk_bytes
    return None if free is None or free >= needed else f"Less than {needed} bytes are free."


def _worker() -> str | None:
    with read() as session:
        return None if workers.active(session) else "No worker has sent a heartbeat for a minute."


def _gpus() -> str | None:
    with read() as session:
        active = workers.active(session)
    devices = [workers.device_of(worker) for worker in active]
    broken = sorted({device.id for device in devices if device.error is not None})
    # Health checks need no API key, so the reasons are shown elsewhere.
    listed = ", ".join(broken)
    return f"GPUs that do not work: {listed}; see `GET /v1/workers`." if broken else None


CHECKS: dict[str, Callable[[], str | None]] = {
    "shutdown": _shutdown,
    "database": _database,
    "storage": _storage,
    "disk": _disk,
    "worker": _worker,
    "gpus": _gpus,
}
SAMPLER_CHECKS = ("shutdown", "database", "storage")
OPTIONAL = {"worker", "gpus"}

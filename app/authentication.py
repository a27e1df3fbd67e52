"""Authentication and scope checks, as FastAPI dependencies.

Each route declares the scope that it needs; no scope is derived from the URL path. A route checks
the key and its scope first (`FairRoute`), so that nothing is spent on others.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app import quotas, signed_urls
from app.fairness.turns import FairThreads
from app.request_owner import owner_of, remember_owner
from core import api_keys, own_quotas
from core.audit import Actor
from core.database import read, write
from core.errors import Forbidden, Unauthorized
from core.settings import Quotas, get_settings

# A few threads of their own: more would compete with the event loop for the interpreter lock. With
# the shared threads, /livez is twice as slow during a burst (bench/sampling.md).
_threads = FairThreads(4, per_owner=3)
USE_INTERVAL_S = 60.0
_used_at: dict[str, float] = {}  # by key
bearer_scheme = HTTPBearer(
    auto_error=False,
    description="`Authorization: Bearer sem_…`. Each operation lists the scopes of which the key "
    "needs one; `admin` includes all of them.",
)


@dataclass(frozen=True)
class Caller(Actor):
    scopes: frozenset[str]
    quotas: Quotas = field(default_factory=lambda: get_settings().quotas, compare=False)


def _caller(request: Request) -> Caller:
    scheme, api_key_text = get_authorization_scheme_param(request.headers.get("authorization"))
    request_id = request.scope.get("request_id")
    challenge = {"WWW-Authenticate": "Bearer"}
    if not api_key_text and (match := signed_urls.match_signature(request)) is not None:
        key = signed_urls.verify_signature(request, match)
        key_scopes = api_keys.SCOPES if "admin" in key.scopes else key.scopes
        scopes = signed_urls.ALLOWED_SCOPES & frozenset(key_scopes)
        quotas = own_quotas.effective(key.tenant_quotas, key.quotas)
        return Caller(key.tenant_id, key.id, request_id, scopes, quotas)
    if not api_key_text or scheme.lower() != "bearer":
        raise Unauthorized(
            "The API key is missing. Send it as `Authorization: Bearer sem_…`.",
            code="key_missing",
            headers=challenge,
        )
    with read() as session:
        api_key = api_keys.find(session, api_key_text)
    if api_key is None:
        raise Unauthorized("The API key is not valid.", code="key_unknown", headers=challenge)
    _record_use(api_key.id)
    quotas = own_quotas.effective(api_key.tenant_quotas, api_key.quotas)
    return Caller(api_key.tenant_id, api_key.id, request_id, frozenset(api_key.scopes), quotas)


def _record_use(key_id: str) -> None:
    """Record the use of the key, in each process at most once a minute."""
    now = time.monotonic()
    if now - _used_at.get(key_id, -USE_INTERVAL_S) >= USE_INTERVAL_S:
        _used_at[key_id] = now
        with suppress(OperationalError), write() as session:  # must not fail the request
            api_keys.record_use(session, key_id)


def check_still_valid(session: Session, caller: Caller) -> None:
    """Raise Unauthorized if the key was revoked or has expired since the request began."""
    if not api_keys.valid_ids(session, [caller.key_id]):
        raise Unauthorized(
            "The API key was revoked or has expired.",
            code="key_unknown",
            headers={"WWW-Authenticate": "Bearer"},
        )


def check_scope(caller: Caller, *scopes: str) -> None:
    """Raise Forbidden unless the key has one of the scopes or `admin`."""
    if not caller.scopes & {*scopes, "admin"}:
        missing = " or ".join(f"`{scope}`" for scope in scopes)
        raise Forbidden(f"The API key lacks the scope {missing}.", code="scope_missing")


def check_operator(caller: Caller) -> None:
    """Raise Forbidden unless the key is of the tenant whose administrators see all tenants."""
    if caller.tenant_id != api_keys.DEFAULT_TENANT:
        raise Forbidden(
            "Only administrators of the default tenant may do this.", code="operator_required"
        )


class RequireScope:
    """Dependency that accepts keys with one of the scopes, or any key without scopes."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = scopes

    async def __call__(
        self, request: Request, _scheme: Annotated[object, Depends(bearer_scheme)] = None
    ) -> Caller:
        """Return the caller. The key of a request is checked once, however often this is called."""
        caller: Caller | None = getattr(request.state, "caller", None)
        if caller is None:
            caller = await _threads.run(owner_of(request.scope), _caller, request)
            remember_owner(request.scope, caller.tenant_id)
            request.state.quota_headers = quotas.count_request(caller)
            request.state.caller = caller
        if self.scopes:
            check_scope(caller, *self.scopes)
        return caller


def requirement(dependant: Dependant) -> RequireScope | None:
    """Return what a route requires of keys; None if it needs no key."""
    calls = [dependency.call for dependency in dependant.dependencies]
    return next((call for call in calls if isinstance(call, RequireScope)), None)


AnyScope = Annotated[Caller, Depends(RequireScope())]
# Metadata: all but training data and what shows it.
ReadScope = Annotated[Caller, Depends(RequireScope("read"))]
# Content of datasets, weights, and reports with real items.
DataReadScope = Annotated[Caller, Depends(RequireScope("data:read"))]
DataScope = Annotated[Caller, Depends(RequireScope("data"))]
TrainScope = Annotated[Caller, Depends(RequireScope("train"))]
SampleScope = Annotated[Caller, Depends(RequireScope("sample"))]
# Keys that only sample see the service's limits, what models accept, and their own jobs.
ReadOrSampleScope = Annotated[Caller, Depends(RequireScope("read", "sample"))]
# The job routes then check which of the two scopes the job kind needs.
JobScope = Annotated[Caller, Depends(RequireScope("train", "sample"))]
AdminScope = Annotated[Caller, Depends(RequireScope("admin"))]

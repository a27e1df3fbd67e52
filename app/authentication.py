"""Who asks, and may they. Hangs on the routers as a dependency, never on the text of a path."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param

from app import signed_urls
from app.thread_pools import ThreadPool
from core import api_keys
from core.database import read
from core.errors import Forbidden, Unauthorized

_threads = ThreadPool("authentication", 4)
bearer_scheme = HTTPBearer(auto_error=False, description="`Authorization: Bearer sem_…`")


@dataclass(frozen=True)
class Caller:
    tenant_id: str
    key_id: str
    scopes: frozenset[str]


async def authenticate(
    request: Request, _scheme: Annotated[object, Depends(bearer_scheme)]
) -> Caller:
    return await _threads.run(lambda: _caller(request))


def _caller(request: Request) -> Caller:
    scheme, text = get_authorization_scheme_param(request.headers.get("authorization"))
    challenge = {"WWW-Authenticate": "Bearer"}
    if not text and (link := signed_urls.match_signature(request)) is not None:
        key = signed_urls.verify_signature(request, link)
        known = api_keys.SCOPES if "admin" in key.scopes else key.scopes
        return Caller(key.tenant_id, key.id, signed_urls.ALLOWED_SCOPES & frozenset(known))
    if not text or scheme.lower() != "bearer":
        raise Unauthorized(
            "send a key as `Authorization: Bearer sem_…`", code="key_missing", headers=challenge
        )
    with read() as session:
        found = api_keys.find(session, text)
    if found is None:
        raise Unauthorized("this key is not known here", code="key_unknown", headers=challenge)
    return Caller(found.tenant_id, found.id, frozenset(found.scopes))


def check_scope(caller: Caller, *scopes: str) -> None:
    """Raises Forbidden unless the key has one of these."""
    if not caller.scopes & {*scopes, "admin"}:
        missing = " or ".join(f"`{scope}`" for scope in scopes)
        raise Forbidden(f"this key lacks the scope {missing}", code="scope_missing")


def require_scope(*scopes: str) -> Callable[[Caller], Awaitable[Caller]]:
    """A dependency that lets keys with one of these scopes through."""

    async def check(caller: Annotated[Caller, Depends(authenticate)]) -> Caller:
        check_scope(caller, *scopes)
        return caller

    return check


ReadScope = Annotated[Caller, Depends(require_scope("read"))]
DataScope = Annotated[Caller, Depends(require_scope("data"))]
TrainScope = Annotated[Caller, Depends(require_scope("train"))]
SampleScope = Annotated[Caller, Depends(require_scope("sample"))]
JobScope = Annotated[
    Caller, Depends(require_scope("train", "sample"))
]  # which of them: by the job's kind
AdminScope = Annotated[Caller, Depends(require_scope("admin"))]

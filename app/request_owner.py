"""The tenant that probably sends a request, before its key is looked up.

It decides only whose turn a request has to wait for, never what the request may do.
"""

from hashlib import sha256

from starlette.datastructures import Headers
from starlette.types import Scope

MAX_KNOWN = 10_000
STRANGERS = ""  # all whose key is not known yet share the turns of one tenant

_tenants: dict[bytes, str] = {}  # by digest of the header `Authorization`


def owner_of(scope: Scope) -> str:
    return _tenants.get(_digest(scope), STRANGERS)


def remember_owner(scope: Scope, tenant_id: str) -> None:
    """Note the tenant of the key with which the request was authenticated."""
    if "authorization" in Headers(scope=scope):  # a signed URL has no such header
        if len(_tenants) >= MAX_KNOWN:
            _tenants.clear()
        _tenants[_digest(scope)] = tenant_id


def _digest(scope: Scope) -> bytes:
    return sha256(Headers(scope=scope).get("authorization", "").encode()).digest()

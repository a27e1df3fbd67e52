"""Addresses that work without a key, for a while: for `<img src>` and downloads.

A link is a GET of exactly one path and query, signed with the key of whoever made it, and allows no
more than that key does: it ends with the key, and cannot be longer than an hour away.
"""

import hmac
import re
import time

from starlette.requests import Request

from core import keys
from core.database import read
from core.errors import Unauthorized
from core.tables import Key

LONGEST_S = 3_600
SCOPES = frozenset({"read", "sample"})  # what a link may allow
_LINK = re.compile(
    r"(?:(?P<own>.*)&)?link=(?P<key>key_\w{1,64})\.(?P<expires>[1-9]\d{0,11})\.(?P<mark>[0-9a-f]{64})",
    re.ASCII,
)


def sign(key: Key, target: str, expires: int) -> str:
    """`target`, a path with its query, as an address that works until `expires`."""
    mark = keys.signature(key, _text(target, expires))
    return f"{target}{'&' if '?' in target else '?'}link={key.id}.{expires}.{mark}"


def of_request(request: Request) -> re.Match[str] | None:
    if request.method not in ("GET", "HEAD"):
        return None
    return _LINK.fullmatch(request.scope["query_string"].decode("latin-1"))


def key_of(request: Request, link: re.Match[str]) -> Key:
    """Who made the link. Raises Unauthorized unless it was made for this very request."""
    expires, now = int(link["expires"]), time.time()
    target = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    if link["own"]:
        target = f"{target}?{link['own']}"
    with read() as session:
        key = keys.get(session, link["key"])
    if key is None or key.revoked_at is not None or expires > now + LONGEST_S:
        raise _refusal("this link was not made here", "link_invalid")
    if not hmac.compare_digest(keys.signature(key, _text(target, expires)), link["mark"]):
        raise _refusal("this link was made for another address", "link_invalid")
    if expires <= now:
        raise _refusal("this link has expired; make another", "link_expired")
    return key


def _refusal(message: str, code: str) -> Unauthorized:
    return Unauthorized(message, code=code, headers={"WWW-Authenticate": "Bearer"})


def _text(target: str, expires: int) -> str:
    return f"GET {target} {expires}"

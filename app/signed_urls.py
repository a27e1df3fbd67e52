"""Addresses that work without a key, for a while: for `<img src>` and downloads.

A link is a GET of exactly one path and query, signed with the key of whoever made it, and allows no
more than that key does: it ends with the key, and cannot be longer than an hour away.
"""

import hmac
import re
import time

from starlette.requests import Request

from core import api_keys
from core.database import read
from core.errors import Unauthorized
from core.tables import ApiKey

MAX_LIFETIME_S = 3_600
ALLOWED_SCOPES = frozenset({"read", "sample"})  # what a link may allow
_LINK = re.compile(
    r"(?:(?P<own>.*)&)?key_id=(?P<key>key_\w{1,64})"
    r"&expires=(?P<expires>[1-9]\d{0,11})&signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)


def sign_url(key: ApiKey, target: str, expires: int) -> str:
    """`target`, a path with its query, as an address that works until `expires`."""
    signature = api_keys.sign(key, _text(target, expires))
    separator = "&" if "?" in target else "?"
    return f"{target}{separator}key_id={key.id}&expires={expires}&signature={signature}"


def match_signature(request: Request) -> re.Match[str] | None:
    if request.method not in ("GET", "HEAD"):
        return None
    return _LINK.fullmatch(request.scope["query_string"].decode("latin-1"))


def verify_signature(request: Request, match: re.Match[str]) -> ApiKey:
    """Who made the link. Raises Unauthorized unless it was made for this very request."""
    expires, now = int(match["expires"]), time.time()
    target = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    if match["own"]:
        target = f"{target}?{match['own']}"
    with read() as session:
        key = api_keys.get(session, match["key"])
    if key is None or key.revoked_at is not None or expires > now + MAX_LIFETIME_S:
        raise _unauthorized("this link was not made here", "signature_invalid")
    if not hmac.compare_digest(api_keys.sign(key, _text(target, expires)), match["signature"]):
        raise _unauthorized("this link was made for another address", "signature_invalid")
    if expires <= now:
        raise _unauthorized("this link has expired; make another", "signature_expired")
    return key


def _unauthorized(message: str, code: str) -> Unauthorized:
    return Unauthorized(message, code=code, headers={"WWW-Authenticate": "Bearer"})


def _text(target: str, expires: int) -> str:
    return f"GET {target} {expires}"

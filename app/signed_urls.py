"""Signed URLs: links for `<img src>` and downloads that work without an Authorization header.

A signed URL allows GET and HEAD for exactly one path and query. It has at most the permissions of
the API key that signed it, stops working when that key is revoked, and expires after at most one
hour.
"""

import re
import time

from starlette.requests import Request

from core import api_keys, server_secret
from core.database import read
from core.errors import Unauthorized
from core.tables import ApiKey

MAX_LIFETIME_S = 3_600
ALLOWED_SCOPES = frozenset({"read", "data:read", "sample"})  # a link never has other scopes
_SIGNED_QUERY = re.compile(
    r"(?:(?P<query>.*)&)?key_id=(?P<key>key_\w{1,64})"
    r"&expires=(?P<expires>[1-9]\d{0,11})&signature=(?P<signature>[0-9a-f]{64})",
    re.ASCII,
)


PARAMETERS = frozenset({"key_id", "expires", "signature"})


def sign_url(key: ApiKey, target: str, expires: int) -> str:
    """Return `target`, a path with an optional query, with a signature valid until `expires`.

    `expires` is in seconds since 1970.
    """
    signature = server_secret.sign(_signed_text(key, target, expires))
    separator = "&" if "?" in target else "?"
    return f"{target}{separator}key_id={key.id}&expires={expires}&signature={signature}"


def match_signature(request: Request) -> re.Match[str] | None:
    if request.method not in ("GET", "HEAD"):
        return None
    return _SIGNED_QUERY.fullmatch(request.scope["query_string"].decode("latin-1"))


def verify_signature(request: Request, match: re.Match[str]) -> ApiKey:
    """Return the API key that signed the link.

    Raises:
        Unauthorized: The key is unknown, revoked or expired, the signature is for another URL, or
            the link has expired.
    """
    expires, now = int(match["expires"]), time.time()
    target = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    if match["query"]:
        target = f"{target}?{match['query']}"
    with read() as session:
        key = api_keys.get_valid(session, match["key"])
    if key is None or expires > now + MAX_LIFETIME_S:
        raise _unauthorized("The signature of the link is not valid.", "signature_invalid")
    if not server_secret.is_signature(_signed_text(key, target, expires), match["signature"]):
        raise _unauthorized(
            "The signature of the link does not match its URL.", "signature_invalid"
        )
    if expires <= now:
        raise _unauthorized("The link has expired. Create a new one.", "signature_expired")
    return key


def _unauthorized(message: str, code: str) -> Unauthorized:
    return Unauthorized(message, code=code, headers={"WWW-Authenticate": "Bearer"})


def _signed_text(key: ApiKey, target: str, expires: int) -> str:
    return f"GET {target} {key.id} {expires}"

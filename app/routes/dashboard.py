"""The dashboard: static files, built from `app/dashboard/src` by `npm run build`.

The page talks to the public REST API only, with the user's key.
"""

from functools import lru_cache
from pathlib import Path

from fastapi import APIRouter, Response

from app.http_methods import etag_of
from core.errors import NotFound

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parents[1] / "dashboard" / "static"
MEDIA_TYPES = {
    "app.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
    "index.html": "text/html",
}
# The page loads nothing from other origins and has no inline code. Previews and downloads are
# fetched with the key and shown as blobs.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
NOT_BUILT = """<!doctype html><title>Semblance</title>
<p>The dashboard is not built. Run <code>make install</code>.</p>
<p><a href="/docs">Documentation of the routes</a></p>"""


@router.get("/")
def read_page() -> Response:
    if not (FOLDER / "index.html").exists():
        return Response(NOT_BUILT, media_type="text/html")
    return _file_response("index.html")


@router.get("/dashboard/{name}")
def read_file(name: str) -> Response:
    if name not in MEDIA_TYPES or not (FOLDER / name).exists():
        raise NotFound("The dashboard has no such file.")
    return _file_response(name)


def _file_response(name: str) -> Response:
    content, etag = _read(name)
    headers = {
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "cache-control": "no-cache",  # always revalidated, so that an upgrade shows at once
        "etag": etag,
    }
    return Response(content, media_type=MEDIA_TYPES[name], headers=headers)


@lru_cache(len(MEDIA_TYPES))
def _read(name: str) -> tuple[bytes, str]:
    content = (FOLDER / name).read_bytes()
    return content, etag_of(content)

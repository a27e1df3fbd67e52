"""`/docs`: Swagger UI, served from the package of its files, without any other server.

The page keeps no API key, and runs no script but its own.
"""

import base64
import re
from functools import lru_cache
from hashlib import sha256
from importlib import resources

from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html

from core.errors import NotFound

router = APIRouter(include_in_schema=False)

MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
PARAMETERS = {
    "tryItOutEnabled": True,
    "persistAuthorization": False,  # it would store the key in the browser
    "filter": True,
    "displayRequestDuration": True,
}
_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


@router.get("/docs")
def read_documentation() -> Response:
    page, policy = _page()
    return Response(page, media_type="text/html", headers={"content-security-policy": policy})


@router.get("/swagger/{name}")
def read_swagger_file(name: str) -> Response:
    if name not in MEDIA_TYPES:
        raise NotFound("Swagger UI has no such file.")
    content = (resources.files("fastapi_swagger.resources") / name).read_bytes()
    headers = {"cache-control": "public, max-age=86400"}
    return Response(content, media_type=MEDIA_TYPES[name], headers=headers)


@lru_cache(1)
def _page() -> tuple[bytes, str]:
    """Return the page and its policy, which names the hash of its one inline script."""
    page = bytes(
        get_swagger_ui_html(
            openapi_url="openapi.json",
            title="Semblance",
            swagger_js_url="swagger/swagger-ui-bundle.js",
            swagger_css_url="swagger/swagger-ui.css",
            swagger_favicon_url="swagger/favicon-32x32.png",
            swagger_ui_parameters=PARAMETERS,
        ).body
    )
    scripts = [sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    hashes = [f"'sha256-{base64.b64encode(script).decode()}'" for script in scripts]
    policy = (
        "default-src 'none'",
        f"script-src 'self' {' '.join(hashes)}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
    return page, "; ".join(policy)

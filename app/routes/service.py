"""`GET /v1`: what this server is and how much it takes."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

from app.authentication import Reader
from core.datasets import builtin
from core.datasets.media_types import MEDIA_TYPES, ROW_MEDIA_TYPES
from core.settings import get_settings
from models.images.architectures import architectures, losses
from models.images.settings import PRESETS
from models.tables.settings import ARCHITECTURES

router = APIRouter(tags=["service"])


@router.get("/v1")
def describe(_caller: Reader) -> dict[str, Any]:
    """Version, limits, formats, presets."""
    return {
        "name": "Semblance",
        "version": version("semblance-server"),
        "limits": get_settings().limits.model_dump(),
        "formats": {"images": list(MEDIA_TYPES), "rows": list(ROW_MEDIA_TYPES)},
        "presets": list(PRESETS),
        "architectures": {"images": list(architectures()), "rows": list(ARCHITECTURES)},
        "losses": {"images": list(losses())},
        "builtin_datasets": list(builtin.NAMES),
    }

"""`GET /v1`: version, limits and capabilities of the service."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

from app.authentication import ReadScope
from core.datasets import builtin
from core.datasets.media_types import IMAGE_MEDIA_TYPES, TABULAR_MEDIA_TYPES
from core.settings import get_settings
from models.images.architectures import available_architectures, available_losses
from models.images.settings import PRESETS
from models.tabular.settings import ARCHITECTURES

router = APIRouter(tags=["service"])


@router.get("/v1")
def describe(_caller: ReadScope) -> dict[str, Any]:
    """Return the version, the limits, and the available formats, presets and architectures."""
    return {
        "name": "Semblance",
        "version": version("semblance-server"),
        "limits": get_settings().limits.model_dump(),
        "formats": {"image": list(IMAGE_MEDIA_TYPES), "tabular": list(TABULAR_MEDIA_TYPES)},
        "presets": list(PRESETS),
        "architectures": {"image": list(available_architectures()), "tabular": list(ARCHITECTURES)},
        "losses": {"image": list(available_losses())},
        "builtin_datasets": list(builtin.NAMES),
    }

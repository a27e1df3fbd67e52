"""`GET /v1`: version, limits and capabilities of the service."""

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter

import modalities
from app.authentication import ReadScope
from core.datasets import builtin
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
        "formats": {
            name: list(modality.sample_formats) for name, modality in modalities.installed().items()
        },
        "presets": list(PRESETS),
        "architectures": {"image": list(available_architectures()), "tabular": list(ARCHITECTURES)},
        "losses": {"image": list(available_losses())},
        "builtin_datasets": list(builtin.NAMES),
    }

"""`GET /v1`: version, limits and capabilities of the service."""

from importlib.metadata import version
from typing import Any, get_args

from fastapi import APIRouter

import modalities
from app.authentication import ReadScope
from core.datasets import builtin
from core.settings import get_settings
from modalities.training import Preset

router = APIRouter(tags=["service"])


@router.get("/v1")
def describe(_caller: ReadScope) -> dict[str, Any]:
    """Return the version, the limits, and the available formats, presets and architectures."""
    installed = modalities.installed()
    return {
        "name": "Semblance",
        "version": version("semblance-server"),
        "limits": get_settings().limits.model_dump(),
        "formats": {name: list(each.sample_formats) for name, each in installed.items()},
        "presets": list(get_args(Preset)),
        "architectures": {name: list(each.architectures) for name, each in installed.items()},
        "losses": {name: list(each.losses) for name, each in installed.items() if each.losses},
        "builtin_datasets": list(builtin.NAMES),
    }

"""`GET /v1`: version, limits and capabilities of the service."""

from importlib.metadata import version
from typing import get_args

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.authentication import ReadOrSampleScope
from app.fairness.route import FairRoute
from core.datasets import builtin
from core.limits import Limits
from core.settings import Quotas, get_settings
from modalities import registry
from modalities.training import Preset

router = APIRouter(tags=["service"], route_class=FairRoute)


class ServiceDescription(BaseModel):
    name: str = Field(description="Name of the software.")
    version: str = Field(description="Version of the server.")
    limits: Limits = Field(description="Limits that the operator has set.")
    quotas: Quotas = Field(
        description="Shares of this tenant, and of an API key, that the operator has set."
    )
    formats: dict[str, list[str]] = Field(description="Formats of samples by modality.")
    presets: list[Preset] = Field(description="Presets of training, from fast to good.")
    architectures: dict[str, list[str]] = Field(description="Architectures by modality.")
    losses: dict[str, list[str]] = Field(description="Losses by modality that has a choice.")
    builtin_datasets: list[str] = Field(description="Datasets that ship with the server.")


@router.get("/v1", response_model=ServiceDescription)
def describe_service(caller: ReadOrSampleScope) -> ServiceDescription:
    """Return the version, the limits, and the available formats, presets and architectures."""
    installed = registry.installed()
    return ServiceDescription(
        name="Semblance",
        version=version("semblance-server"),
        limits=get_settings().limits,
        quotas=caller.quotas,
        formats={name: list(each.sample_formats) for name, each in installed.items()},
        presets=list(get_args(Preset)),
        architectures={name: list(each.architectures) for name, each in installed.items()},
        losses={name: list(each.losses) for name, each in installed.items() if each.losses},
        builtin_datasets=list(builtin.NAMES),
    )

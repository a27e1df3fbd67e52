"""`/v1/presets`: meaning and budget of the presets of training."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from app.authentication import ReadScope
from app.fairness.route import FairRoute
from core.database import read
from core.datasets import repository
from core.tables import Dataset
from core.training import Budget
from job_kinds.training.plan import estimate_training
from job_kinds.training.request import TrainingEstimate
from modalities import registry
from modalities.training import Preset, TrainingChoices

router = APIRouter(prefix="/v1/presets", tags=["service"], route_class=FairRoute)


class PresetView(BaseModel):
    name: Preset = Field(description="Name, for `preset` of a training job.")
    modality: str = Field(description="Kind of data.")
    description: str = Field(description="Meaning of the preset.")
    budget: Budget | None = Field(
        description="When training stops; null if it depends on the dataset and `dataset` is not "
        "given."
    )
    estimate: TrainingEstimate | None = Field(
        description="Expected effort for `dataset`; null without it."
    )


class Presets(BaseModel):
    data: list[PresetView] = Field(description="Presets, from fast to good.")


@router.get("", response_model=Presets)
def list_presets(
    caller: ReadScope,
    dataset: Annotated[
        str | None,
        Query(description="Id of a dataset: only its presets, with budget and estimate."),
    ] = None,
) -> Presets:
    """List the presets of training with their budgets and meaning."""
    if dataset is None:
        views = [
            PresetView(
                name=preset.name,
                modality=modality.name,
                description=preset.description,
                budget=preset.budget,
                estimate=None,
            )
            for modality in registry.installed().values()
            for preset in modality.presets()
        ]
        return Presets(data=views)
    with read() as session:
        row = repository.get_ready(session, caller.tenant_id, dataset)
        return Presets(data=_presets_of(session, row))


def _presets_of(session: Session, dataset: Dataset) -> list[PresetView]:
    modality = registry.get(dataset.modality)
    views = []
    for preset in modality.presets():
        choices = TrainingChoices(conditional=None, preset=preset.name, budget=None)
        training = modality.plan_training(session, dataset, choices, modality.training_options())
        views.append(
            PresetView(
                name=preset.name,
                modality=modality.name,
                description=preset.description,
                budget=training.budget,
                estimate=estimate_training(session, dataset, training),
            )
        )
    return views

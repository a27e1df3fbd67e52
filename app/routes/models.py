"""`/v1/models`: named model versions and their aliases."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.orm import Session

from app.authentication import ReadScope, SampleScope, TrainScope
from app.fairness.route import FairRoute
from app.sampling.model_cache import get_model_cache
from app.schemas.models import NO_EVALUATIONS, ModelPatch, ModelView
from app.schemas.pagination import CountedPage, list_parameters
from core import audit, evaluation, model_registry
from core.database import read, write
from core.listing import PageRequest
from core.storage import get_storage
from core.tables import Model
from modalities import registry

router = APIRouter(prefix="/v1/models", tags=["models"], route_class=FairRoute)


@router.get("", response_model=CountedPage[ModelView])
def list_models(
    caller: ReadScope,
    page: Annotated[PageRequest, list_parameters("mdl")],
    modality: Annotated[
        registry.ModalityName | None, Query(description="Only this kind of data. Default: all.")
    ] = None,
    dataset: Annotated[
        str | None, Query(description="Only models of this dataset (id). Default: all.")
    ] = None,
) -> CountedPage[ModelView]:
    """List all versions of all models, newest first unless `sort` says otherwise."""
    with read() as session:
        listed = model_registry.page(
            session, caller.tenant_id, page, modality=modality, dataset_id=dataset
        )
        return CountedPage.of(listed, _views(session, listed.rows))


@router.get("/{reference}", response_model=ModelView)
def read_model(reference: str, caller: ReadScope) -> ModelView:
    """Return a model by `name` (its newest version), `name:version`, `name@alias` or `mdl_…`."""
    with read() as session:
        return _view(session, model_registry.get(session, caller.tenant_id, reference))


@router.patch("/{reference}", response_model=ModelView)
def change_model(reference: str, change: ModelPatch, caller: TrainScope) -> ModelView:
    """Change the description or the tags. A description of null removes it."""
    with write() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        audit.record(session, caller, "model.change", model.id)
        if "description" in change.model_fields_set:
            model.description = change.description
        if change.tags is not None:
            model.tags = change.tags
        return _view(session, model)


@router.delete("/{reference}", status_code=204)
def delete_model(reference: str, caller: TrainScope) -> None:
    """Delete a model version and its weights.

    The request is rejected while an alias refers to the version, its job is running, or samples
    are being generated from it.
    """
    with write() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        audit.record(session, caller, "model.delete", model.id)
        keys = model_registry.delete(session, model)
        get_model_cache().unload(model)
    get_storage().delete(keys)


@router.put("/{reference}/aliases/{alias}", response_model=ModelView)
def set_alias(reference: str, alias: str, caller: TrainScope) -> ModelView:
    """Make `name@alias` refer to this version. The version it referred to before is not changed."""
    with write() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        audit.record(session, caller, "model.set_alias", f"{model.id}@{alias}")
        model_registry.set_alias(session, model, alias)
        session.flush()
        return _view(session, model)


@router.delete("/{reference}/aliases/{alias}", status_code=204)
def drop_alias(reference: str, alias: str, caller: TrainScope) -> None:
    """Delete an alias of the model's name, whichever version it refers to."""
    with write() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
        audit.record(session, caller, "model.delete_alias", f"{model.id}@{alias}")
        model_registry.delete_alias(session, model, alias)


@router.post("/{reference}/load", response_model=ModelView)
def load_model(reference: str, caller: SampleScope) -> ModelView:
    """Load the model into memory and generate one batch, so that the first request is fast."""
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
    from app.sampling.service import get_sampling_service  # torch is slow to load

    get_sampling_service().warm_up(model)
    with write() as session:
        audit.record(session, caller, "model.load", model.id)
        return _view(session, model)


@router.post("/{reference}/unload", response_model=ModelView)
def unload_model(reference: str, caller: SampleScope) -> ModelView:
    """Remove the model from memory until the next request.

    The request is rejected while samples are being generated from the model.
    """
    with read() as session:
        model = model_registry.get(session, caller.tenant_id, reference)
    get_model_cache().unload(model)
    with write() as session:
        audit.record(session, caller, "model.unload", model.id)
        return _view(session, model)


def _view(session: Session, model: Model) -> ModelView:
    return _views(session, [model])[0]


def _views(session: Session, models: Sequence[Model]) -> list[ModelView]:
    cache, aliases = get_model_cache(), model_registry.aliases_of(session, models)
    evaluations = evaluation.latest_of_models(session, models)
    return [
        ModelView.of(
            model,
            aliases.get(model.id, ()),
            loaded=cache.is_loaded(model),
            evaluations=evaluations.get(model.id, NO_EVALUATIONS),
        )
        for model in models
    ]

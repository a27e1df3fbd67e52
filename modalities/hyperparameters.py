"""`hyperparameters` of a training job: every field of the settings classes, explicit or "auto".

The request models are generated from the settings classes, so that each hyperparameter is described
in one place.
"""

from collections.abc import Collection
from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, ValidationError, create_model

from core import validation_errors
from core.request_fields import RequestModel


def create_request_model(
    name: str, *settings: type, without: Collection[str] = ()
) -> type[RequestModel]:
    """Return a model with every field of any of the settings classes, except `without`.

    The chosen architecture decides later which of the fields apply.
    """
    hints = {name: hint for cls in settings for name, hint in get_type_hints(cls).items()}
    definitions: dict[str, Any] = {}
    for field in (field for cls in settings for field in fields(cls)):
        if field.name in without:
            continue
        bounds = {k: v for k, v in field.metadata.items() if k in {"ge", "gt", "le", "lt"}}
        hint: Any = hints[field.name]
        annotation = Annotated[hint, Field(**bounds)] | Literal["auto"]
        definitions[field.name] = (
            annotation,
            Field("auto", description=field.metadata["description"]),
        )
    model: type[RequestModel] = create_model(name, __base__=RequestModel, **definitions)
    return model


def explicit_values(model: type[RequestModel], hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """Return the hyperparameters that are not "auto".

    Raises:
        ValidationFailed: A value is invalid. Pointers are relative to the whole request.
    """
    try:
        values = model.model_validate(hyperparameters)
    except ValidationError as error:
        raise validation_errors.body_validation_failed(
            error, model, hyperparameters, within="/hyperparameters"
        ) from error
    explicit = values.model_dump(exclude_unset=True)
    return {name: value for name, value in explicit.items() if value != "auto"}

"""`hyperparameters` of a training job: every field of the settings, explicit or "auto".

Made from the settings' own fields, so that a setting is described in one place. Which settings
there are depends on the dataset's kind: a body is only a mapping until the dataset is known.
"""

from collections.abc import Collection
from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, ValidationError, WithJsonSchema, create_model

from app import error_handlers
from app.request_body import RequestModel
from models.images.adversarial.settings import AdversarialSettings
from models.images.settings import DATA_FIELDS
from models.images.vae_gan.settings import VaeGanSettings
from models.tabular.settings import TableSettings


def _model(name: str, *settings: type, without: Collection[str] = ()) -> type[RequestModel]:
    """Every field that one of the classes has: which of them, an architecture decides."""
    hints = {name: hint for kind in settings for name, hint in get_type_hints(kind).items()}
    definitions: dict[str, Any] = {}
    for field in (field for kind in settings for field in fields(kind)):
        if field.name in without:
            continue
        bounds = {k: v for k, v in field.metadata.items() if k in {"ge", "gt", "le", "lt"}}
        kind: Any = hints[field.name]
        annotation = Annotated[kind, Field(**bounds)] | Literal["auto"]
        definitions[field.name] = (
            annotation,
            Field("auto", description=field.metadata["description"]),
        )
    made: type[RequestModel] = create_model(name, __base__=RequestModel, **definitions)
    return made


ImageHyperparameters = _model(
    "ImageHyperparameters", VaeGanSettings, AdversarialSettings, without=DATA_FIELDS
)
TabularHyperparameters = _model("TabularHyperparameters", TableSettings)

Hyperparameters = Annotated[
    dict[str, Any],
    WithJsonSchema(
        {
            "anyOf": [
                ImageHyperparameters.model_json_schema(),
                TabularHyperparameters.model_json_schema(),
            ]
        }
    ),
]


def explicit_values(model: type[RequestModel], hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The values that the client chose. Raises ValidationFailed, with pointers into the whole request."""
    try:
        chosen = model.model_validate(hyperparameters)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        for fault in errors:
            fault["loc"] = ("hyperparameters", *fault["loc"])
        body = {"hyperparameters": hyperparameters}
        raise error_handlers.validation_failed(
            errors, field_names=model.model_fields, body=body
        ) from error
    return {name: value for name, value in chosen.model_dump().items() if value != "auto"}

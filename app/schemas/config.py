"""`config` of a training job: every field of the settings, explicit or "auto".

Made from the settings' own fields, so that a setting is described in one place. Which settings
there are depends on the dataset's kind: a body is only a mapping until the dataset is known.
"""

from collections.abc import Collection
from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, ValidationError, WithJsonSchema, create_model

from app import problems
from app.strict import Strict
from models.images.adversarial.settings import AdversarialSettings
from models.images.guided.settings import GuidedSettings
from models.images.settings import OF_THE_DATA
from models.tables.settings import TableSettings


def _model(name: str, *settings: type, without: Collection[str] = ()) -> type[Strict]:
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
    made: type[Strict] = create_model(name, __base__=Strict, **definitions)
    return made


ImageConfig = _model("ImageConfig", GuidedSettings, AdversarialSettings, without=OF_THE_DATA)
TableConfig = _model("TableConfig", TableSettings)

Config = Annotated[
    dict[str, Any],
    WithJsonSchema({"anyOf": [ImageConfig.model_json_schema(), TableConfig.model_json_schema()]}),
]


def explicit(model: type[Strict], config: dict[str, Any]) -> dict[str, Any]:
    """The values that the client chose. Raises Invalid, with pointers into the whole request."""
    try:
        chosen = model.model_validate(config)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False)
        for fault in errors:
            fault["loc"] = ("config", *fault["loc"])
        body = {"config": config}
        raise problems.invalid(errors, known=model.model_fields, body=body) from error
    return {name: value for name, value in chosen.model_dump().items() if value != "auto"}

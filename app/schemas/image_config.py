"""`config` of a training job on images: every field of the settings, explicit or "auto".

Made from the settings' own fields, so that a setting is described in one place.
"""

from dataclasses import fields
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import Field, create_model

from app.strict import Strict
from models.images.settings import ImageSettings

CHOSEN_BY_DATA = {"height", "width", "channels", "classes"}


def _definitions() -> dict[str, Any]:
    hints = get_type_hints(ImageSettings)
    definitions: dict[str, Any] = {}
    for field in fields(ImageSettings):
        if field.name in CHOSEN_BY_DATA:
            continue
        bounds = {k: v for k, v in field.metadata.items() if k in {"ge", "gt", "le", "lt"}}
        kind: Any = hints[field.name]
        annotation = Annotated[kind, Field(**bounds)] | Literal["auto"]
        definitions[field.name] = (
            annotation,
            Field("auto", description=field.metadata["description"]),
        )
    return definitions


ImageConfig = create_model("ImageConfig", __base__=Strict, **_definitions())


def explicit(config: Strict) -> dict[str, Any]:
    """The values that the client chose."""
    return {name: value for name, value in config.model_dump().items() if value != "auto"}

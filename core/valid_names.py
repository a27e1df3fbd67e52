"""The valid names for a field or a parameter that does not exist."""

import difflib
from collections.abc import Iterable, Sequence
from inspect import isclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from core.errors import FieldError

MAX_LISTED = 24


def unknown_name(
    pointer: str, name: str, valid: Iterable[str], what: Literal["field", "parameter"] = "field"
) -> FieldError:
    """Return the error for an unknown name, with the closest valid one or all of them."""
    valid = sorted(valid)
    message = f"Unknown {what}."
    if close := tuple(difflib.get_close_matches(name, valid, 1)):
        message = f"Unknown {what}. Did you mean `{close[0]}`?"
    elif 0 < len(valid) <= MAX_LISTED:
        close = tuple(valid)
        message = f"Unknown {what}. Valid ones: {', '.join(f'`{each}`' for each in valid)}."
    return FieldError(pointer, "unknown_field", message, close or None)


def names_beside(annotation: Any, body: Any, location: Sequence[str]) -> set[str]:
    """Return the names that may stand next to the last one of `location`, a path in `body`.

    `annotation` is the type of the body: a model, or a union of models.
    """
    models = _models(annotation, body)
    for part in location[:-1]:
        if isinstance(body, list):  # its type is already that of its items
            body = body[int(part)]
            continue
        body = body.get(part) if isinstance(body, dict) else None
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        models = [model for field in fields for model in _models(field.annotation, body)]
    return {name for model in models for name in model.model_fields}


def _models(annotation: Any, body: Any) -> list[type[BaseModel]]:
    """Return the models in a type. Of a union, only those whose constants `body` has."""
    if isclass(annotation) and issubclass(annotation, BaseModel):
        return [annotation]
    models = [
        model
        for branch in get_args(getattr(annotation, "__value__", annotation))
        for model in _models(branch, body)
    ]
    return [model for model in models if _has_constants(body, model)] or models


def _has_constants(body: Any, model: type[BaseModel]) -> bool:
    return isinstance(body, dict) and all(
        body.get(name) in get_args(field.annotation)
        for name, field in model.model_fields.items()
        if get_origin(field.annotation) is Literal and field.is_required()
    )

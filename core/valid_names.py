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


def unknown_field(pointer: str, annotation: Any, body: Any, location: Sequence[str]) -> FieldError:
    """Return the error for the unknown field at `location`, a path in `body`.

    It names the valid field of the same object that has a field of this name in its own object,
    the closest valid one, or all of them. `annotation` is the type of the body: a model, or a union
    of models.
    """
    name = location[-1] if location else ""
    fields = _fields_beside(annotation, body, location)
    for parent, types in fields.items():
        if any(name in model.model_fields for each in types for model in _models(each, None)):
            message = f'Unknown field. It is a field of `{parent}`: `{{"{name}": …}}`.'
            return FieldError(pointer, "unknown_field", message, (parent,))
    return unknown_name(pointer, name, fields)


def _fields_beside(annotation: Any, body: Any, location: Sequence[str]) -> dict[str, list[Any]]:
    """Return the types of the fields that may stand next to the last one of `location`."""
    models = _models(annotation, body)
    for part in location[:-1]:
        if isinstance(body, list):  # its type is already that of its items
            body = body[int(part)]
            continue
        body = body.get(part) if isinstance(body, dict) else None
        fields = [model.model_fields[part] for model in models if part in model.model_fields]
        models = [model for field in fields for model in _models(field.annotation, body)]
    types: dict[str, list[Any]] = {}
    for model in models:
        for name, field in model.model_fields.items():
            types.setdefault(name, []).append(field.annotation)
    return types


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

"""Kinds of data (modalities). Each is a package that the entry point `semblance.modalities` names.

Everything outside this package treats all modalities alike, through the interface in `base`.
"""

from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, WithJsonSchema, create_model

from core.datasets.peek import Peek
from core.errors import Conflict, FieldError, ModalityMissing, ValidationFailed
from core.request_fields import RequestModel
from modalities.base import Augmentation, Evaluation, Modality

ENTRY_POINTS = "semblance.modalities"

Body = TypeVar("Body", bound=BaseModel)


@cache  # reads a file of every installed package, which takes milliseconds
def installed() -> dict[str, Modality]:
    """Return the modalities by name."""
    modalities: list[Modality] = [point.load() for point in entry_points(group=ENTRY_POINTS)]
    return {modality.name: modality for modality in sorted(modalities, key=lambda each: each.name)}


def _format_of(part: str) -> WithJsonSchema:
    """Return the documentation of a format: those of all modalities.

    Which of them are valid depends on the dataset or model, so a request is checked with it.
    """
    names = {format: 0 for each in installed().values() for format in getattr(each, part)}
    return WithJsonSchema({"enum": list(names), "type": "string"})


ContentFormat = Annotated[str, _format_of("content_formats")]
SampleFormat = Annotated[str, _format_of("sample_formats")]
FileFormat = Annotated[str, _format_of("file_formats")]

if TYPE_CHECKING:
    ModalityName = str
else:
    ModalityName = Literal[tuple(installed())]


def get(name: str) -> Modality:
    """Return an installed modality; raise ModalityMissing if no package provides it any more."""
    try:
        return installed()[name]
    except KeyError as error:
        raise ModalityMissing(
            f"No installed package provides the modality `{name}`. Install the package with the "
            f"entry point `{name}` of the group `{ENTRY_POINTS}` on the server and its workers, "
            "and restart them."
        ) from error


def evaluation_of(name: str) -> Evaluation:
    """Return a modality whose models can be evaluated; raise Conflict if they cannot."""
    modality = get(name)
    if not isinstance(modality, Evaluation):
        message = f"Models that generate {modality.items} cannot be evaluated."
        raise Conflict(message, code="not_evaluable")
    return modality


def augmentation_of(name: str) -> Augmentation:
    """Return a modality whose datasets can be augmented; raise Conflict if they cannot."""
    modality = get(name)
    if not isinstance(modality, Augmentation):
        message = f"Datasets of {modality.items} cannot be augmented."
        raise Conflict(message, code="not_augmentable")
    return modality


def detect(peek: Peek) -> Modality:
    """Return the modality of a file."""
    return max(installed().values(), key=lambda modality: modality.detect(peek))


def extend(part: str) -> Callable[[type[Body]], type[Body]]:
    """Decorate a model: add the fields of every modality's model of the name `part`."""

    def add_fields(base: type[Body]) -> type[Body]:
        parts: list[type[Any]] = [each for each in _parts(part) if each.model_fields]
        return create_model(
            base.__name__, __base__=(base, *parts), __module__=base.__module__, __doc__=base.__doc__
        )

    return add_fields


def _parts(part: str) -> list[type[BaseModel]]:
    """Return the models of the name `part`; a modality without that capability has none."""
    return [getattr(modality, part, RequestModel) for modality in installed().values()]


def own_options(request: BaseModel, modality: Modality, part: str) -> Any:
    """Return the fields of an extended request that belong to `modality`, as its model `part`.

    Raises:
        ValidationFailed: The request sets a field that belongs to other modalities only.
    """
    own: type[BaseModel] = getattr(modality, part)
    others = {name: field for each in _parts(part) for name, field in each.model_fields.items()}
    foreign = [
        field.alias or name
        for name, field in others.items()
        if name not in own.model_fields and getattr(request, name) != field.get_default()
    ]
    if foreign:
        errors = [
            FieldError(f"/{name}", "not_allowed", f"`{name}` does not apply to {modality.items}.")
            for name in foreign
        ]
        raise ValidationFailed(errors[0].message, field_errors=errors)
    # The request was validated already.
    values = {name: getattr(request, name) for name in own.model_fields}
    return own.model_construct(request.model_fields_set & values.keys(), **values)

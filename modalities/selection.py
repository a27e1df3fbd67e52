"""Selection of samples by label or by number, and the labels of a model."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from core import similar_names
from core.errors import FieldError, UnknownLabel, ValidationFailed, json_pointer
from core.request_fields import RequestModel, Seed

Count = Annotated[int, Field(ge=1)]
LabelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
MAX_LABELS_LISTED = 20  # in an error message


class Selection(RequestModel):
    """Selection of samples by `labels` or by `count`."""

    labels: Annotated[dict[LabelName, Count], Field(min_length=1)] | None = Field(
        None, description='Number of samples of each label: `{"sneaker": 300, "bag": 700}`.'
    )
    count: Count | None = Field(
        None,
        description="Total number of samples. Their labels are distributed as in the training "
        "data, or evenly with `balance_labels`.",
    )
    balance_labels: bool = Field(
        False,
        description="With `count`: generate the same number of samples of each label. If the "
        "label is numeric, generate the same number in each decile of the training values. "
        "Default: false.",
    )
    seed: Seed | None = Field(
        None, description="Random seed. Default: a random one, returned with the samples."
    )
    # Identifiers are numbered by offset, label and condition, with 62 bits in all.
    offset: Annotated[int, Field(ge=0, le=2**53)] = Field(
        0,
        description="Index of the first sample in the unlimited sequence of a seed. Default: 0.",
    )


def check_selection(selection: Selection) -> None:
    """Raise ValidationFailed unless either `labels` or `count` is given."""
    if (selection.labels is None) == (selection.count is None):
        raise ValidationFailed("Send either `labels` or `count`.")
    if selection.balance_labels and selection.labels is not None:
        raise balance_conflict("`labels`")


def balance_conflict(others: str) -> ValidationFailed:
    error = FieldError("/balance_labels", "conflict", f"Cannot be combined with {others}.")
    return ValidationFailed(
        f"`balance_labels` requires `count` and cannot be combined with {others}.",
        field_errors=[error],
    )


def check_conflicts(name: str, fields: Mapping[str, Any]) -> None:
    """Raise ValidationFailed if any of the fields has a value in addition to `name`."""
    conflicts = [field for field, value in fields.items() if value]
    if conflicts:
        errors = [
            FieldError(f"/{field}", "conflict", f"Cannot be combined with `{name}`.")
            for field in conflicts
        ]
        raise ValidationFailed(
            f"`{conflicts[0]}` cannot be combined with `{name}`.", field_errors=errors
        )


def count_labels(manifest: Mapping[str, Any], requested: Mapping[str, int]) -> dict[str, int]:
    """Return the number of samples by normalized label.

    Raises:
        UnknownLabel: The model has no such label.
    """
    counts: dict[str, int] = {}
    for label, count in requested.items():
        name = unicodedata.normalize("NFC", label)  # datasets store labels in this form
        counts[name] = counts.get(name, 0) + count
    model_labels = [label["name"] for label in manifest["labels"]]
    if unknown := [name for name in counts if name not in model_labels]:
        raise _unknown_label(unknown, model_labels, manifest.get("target_column"))
    return counts


def _unknown_label(
    unknown: Sequence[str], model_labels: Sequence[str], target_column: str | None
) -> UnknownLabel:
    if not model_labels and target_column is not None:
        message = f"The values of {target_column!r} are numbers or moments, not labels."
        return UnknownLabel(
            f"{message} Use `conditions` on this column instead.",
            field_errors=[FieldError("/labels", "no_labels", message)],
        )
    if not model_labels:
        return UnknownLabel(
            "The model was trained without labels. Use `count`, or train on a dataset with labels "
            "(for tables: with a target column)."
        )
    errors = []
    for name in unknown[:20]:
        hint, near = suggest_labels(name, model_labels)
        message = f"Not a label of this model. {hint}"
        errors.append(FieldError(json_pointer("labels", name), "unknown_label", message, near))
    hint, _ = suggest_labels(unknown[0], model_labels)
    return UnknownLabel(f"The model has no label {unknown[0]!r}. {hint}", field_errors=errors)


def suggest_labels(name: str, labels: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return a sentence with the labels similar to `name`, else with some; and the labels."""
    if near := similar_names.closest(name, labels):
        return similar_names.did_you_mean(map(repr, near)), tuple(near)
    some = tuple(labels[:MAX_LABELS_LISTED])
    more = " …" if len(labels) > len(some) else ""
    return f"The labels are {', '.join(map(repr, some))}{more}.", some

"""Matching of the labels in a request with those of the model."""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence

from core.errors import FieldError, UnknownLabel
from core.tables import Model


def count_labels(model: Model, requested: Mapping[str, int]) -> dict[str, int]:
    """Return the number of samples by normalized label.

    Raises:
        UnknownLabel: The model has no such label.
    """
    counts: dict[str, int] = {}
    for label, count in requested.items():
        name = unicodedata.normalize("NFC", label)  # datasets store labels in this form
        counts[name] = counts.get(name, 0) + count
    model_labels = [label["name"] for label in model.manifest["labels"]]
    if unknown := [name for name in counts if name not in model_labels]:
        raise _unknown_label(model, unknown, model_labels)
    return counts


def _unknown_label(
    model: Model, unknown: Sequence[str], model_labels: Sequence[str]
) -> UnknownLabel:
    if not model_labels:
        return UnknownLabel(
            f"{model.name}:{model.version} was trained without labels. Use `count`, or train on a "
            "dataset with labels (for tables: with a target column)."
        )
    errors = []
    for name in unknown[:20]:
        suggestions = difflib.get_close_matches(name, model_labels, 3, 0.6) or model_labels[:20]
        pointer = "/labels/" + name.replace("~", "~0").replace("/", "~1")
        errors.append(
            FieldError(pointer, "unknown_label", "Not a label of this model.", tuple(suggestions))
        )
    shown = ", ".join(map(repr, model_labels[:20])) + (" …" if len(model_labels) > 20 else "")
    return UnknownLabel(
        f"{model.name}:{model.version} has no label {unknown[0]!r}. Its labels: {shown}.",
        field_errors=errors,
    )

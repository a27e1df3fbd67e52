"""The labels that a request names, beside those that the model knows."""

import difflib
import unicodedata
from collections.abc import Mapping, Sequence

from core.errors import FieldError, UnknownLabel
from core.tables import Model


def count_labels(model: Model, requested: Mapping[str, int]) -> dict[str, int]:
    """How many of each label, by its name as the model has it. Raises UnknownLabel."""
    counts: dict[str, int] = {}
    for written, n in requested.items():
        name = unicodedata.normalize("NFC", written)  # as datasets keep their labels
        counts[name] = counts.get(name, 0) + n
    known = [label["name"] for label in model.manifest["labels"]]
    if unknown := [name for name in counts if name not in known]:
        raise _unknown(model, unknown, known)
    return counts


def _unknown(model: Model, unknown: Sequence[str], known: Sequence[str]) -> UnknownLabel:
    if not known:
        return UnknownLabel(f"{model.name}:{model.version} was trained without labels; use `count`")
    faults = []
    for name in unknown[:20]:
        near = difflib.get_close_matches(name, known, 3, 0.6) or known[:20]
        pointer = "/labels/" + name.replace("~", "~0").replace("/", "~1")
        faults.append(
            FieldError(pointer, "unknown_label", "not a label of this model", tuple(near))
        )
    return UnknownLabel(
        f"{model.name}:{model.version} has no label {unknown[0]!r}; `sampling-options` lists them",
        field_errors=faults,
    )

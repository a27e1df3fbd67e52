"""Label names: normalization, encoding as integers, order and renaming."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import MAX_ERRORS, file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable, FieldError, json_pointer
from core.limits import Limits

UNLABELED = -1

_INTEGER = re.compile(r"-?[0-9]{1,300}")


def is_integer(label: str) -> bool:
    return _INTEGER.fullmatch(label) is not None


class LabelEncoder:
    """Assigns each label a code, in order of first occurrence."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._codes: dict[str, int] = {}  # by raw label; a bounded cache
        self._names: dict[str, int] = {}  # by normalized label
        self._stripped: set[str] = set()

    def encode(self, raw_label: str, *, where: str) -> int:
        """Return the code of a label.

        Raises DatasetUnreadable, pointing to the file `where`, if the label is invalid.
        """
        code = self._codes.get(raw_label)
        return self._add(raw_label, where) if code is None else code

    def _add(self, raw_label: str, where: str) -> int:
        name = normalize_label(raw_label)
        if problem := label_problem(name, self._limits):
            message = f"The label {printable(name)!r} {problem}."
            raise unreadable_error("label_invalid", message, pointer=file_pointer(where))
        if name != unicodedata.normalize("NFC", raw_label):
            self._stripped.add(name)
        code = self._names.setdefault(name, len(self._names))
        if len(self._names) > self._limits.classes_max:
            message = f"There are too many labels; the maximum is {self._limits.classes_max:,}."
            raise unreadable_error("too_many_labels", message, pointer=file_pointer(where))
        if len(self._codes) < 2 * self._limits.classes_max:
            self._codes[raw_label] = code
        return code

    def code_of(self, name: str) -> int:
        """Return the code of one of `sorted_names`."""
        return self._names[name]

    def sorted_names(self) -> list[str]:
        return sorted(self._names, key=_sort_key)

    def code_to_index(self) -> NDArray[np.int32]:
        """Return the index in `sorted_names` of each code.

        The array has UNLABELED as an additional last item, so that the code -1 maps to itself.
        """
        indices = np.full(len(self._names) + 1, UNLABELED, np.int32)
        for index, name in enumerate(self.sorted_names()):
            indices[self._names[name]] = index
        return indices

    def notes(self) -> list[str]:
        if not self._stripped:
            return []
        examples = ", ".join(sorted(printable(name) for name in self._stripped)[:5])
        return [f"Spaces around {len(self._stripped)} labels were stripped: {examples}."]


def normalize_label(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def label_problem(name: str, limits: Limits) -> str | None:
    """Return why `name` is invalid, as a predicate ("is empty"); None if it is valid."""
    if not name:
        return "is empty"
    if len(name) > limits.label_chars:
        return f"has {len(name):,} characters; at most {limits.label_chars} are allowed"
    if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        return "contains control characters"
    return None


def rename_labels(
    names: list[str], class_names: Mapping[str, str] | Sequence[str] | None, limits: Limits
) -> list[str]:
    """Map `names` through `class_names`, a mapping or a list by index.

    Raises DatasetUnreadable if a name is missing in `class_names`, invalid or used twice.
    """
    if class_names is None:
        return names
    new_names = (
        {str(key): value for key, value in class_names.items()}
        if isinstance(class_names, Mapping)
        else {str(i): value for i, value in enumerate(class_names)}
    )
    errors = _class_name_errors(new_names, limits)
    errors += [
        FieldError(
            "/meta/class_names",
            "label_unnamed",
            f"`class_names` has no name for label {printable(name)}.",
        )
        for name in names
        if name not in new_names
    ]
    if errors:
        detail = f"`class_names` is invalid: {errors[0].message}"
        raise DatasetUnreadable(
            detail, code="class_names_invalid", field_errors=errors[:MAX_ERRORS]
        )
    return [normalize_label(new_names[name]) for name in names]


def _class_name_errors(new_names: dict[str, str], limits: Limits) -> list[FieldError]:
    errors = []
    first_keys: dict[str, str] = {}
    for key, name in new_names.items():
        pointer = json_pointer("meta", "class_names", printable(key))
        problem = (
            label_problem(normalize_label(name), limits) if isinstance(name, str) else "is not text"
        )
        if problem:
            message = f"The name of label {printable(key)} {problem}."
            errors.append(FieldError(pointer, "label_invalid", message))
        elif (first_key := first_keys.setdefault(normalize_label(name), key)) != key:
            message = f"Labels {printable(first_key)} and {printable(key)} have the same name."
            errors.append(FieldError(pointer, "label_duplicate", message))
    return errors


def _sort_key(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if _INTEGER.fullmatch(name) else (1, 0, name)

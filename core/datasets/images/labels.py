"""Label names: cleaned, counted, put in order, renamed."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.datasets.errors import MAX_ERRORS, file_pointer, printable, unreadable_error
from core.errors import DatasetUnreadable, FieldError
from core.settings import Limits

UNLABELED = -1

_INTEGER = re.compile(r"-?[0-9]{1,300}")


class LabelEncoder:
    """The labels of a set, each with a code in the order in which they first came up."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._codes: dict[str, int] = {}  # by the name as it was written
        self._names: dict[str, int] = {}  # by the clean name
        self._stripped: set[str] = set()

    def encode(self, raw_label: str, *, where: str) -> int:
        """`where` is the file or row that is named when the label cannot be used."""
        code = self._codes.get(raw_label)
        return self._add(raw_label, where) if code is None else code

    def _add(self, written: str, where: str) -> int:
        name = normalize_label(written)
        if problem := label_problem(name, self._limits):
            message = f"the label {printable(name)!r} {problem}"
            raise unreadable_error("label_invalid", message, pointer=file_pointer(where))
        if name != unicodedata.normalize("NFC", written):
            self._stripped.add(name)
        code = self._names.setdefault(name, len(self._names))
        if len(self._names) > self._limits.classes_max:
            message = f"there are more than {self._limits.classes_max:,} labels"
            raise unreadable_error("too_many_labels", message, pointer=file_pointer(where))
        if len(self._codes) < 2 * self._limits.classes_max:
            self._codes[written] = code
        return code

    def sorted_names(self) -> list[str]:
        return sorted(self._names, key=_sort_key)

    def code_to_index(self) -> NDArray[np.int32]:
        """The place in `sorted_names` of each code, with UNLABELED last, where index -1 finds it."""
        places = np.full(len(self._names) + 1, UNLABELED, np.int32)
        for place, name in enumerate(self.sorted_names()):
            places[self._names[name]] = place
        return places

    def notes(self) -> list[str]:
        if not self._stripped:
            return []
        examples = ", ".join(sorted(printable(name) for name in self._stripped)[:5])
        return [f"Blanks around {len(self._stripped)} labels were stripped: {examples}."]


def normalize_label(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def label_problem(name: str, limits: Limits) -> str | None:
    """Why this cannot be a label, as the end of a sentence."""
    if not name:
        return "is empty"
    if len(name) > limits.label_chars:
        return f"has {len(name):,} characters; at most {limits.label_chars} are allowed"
    if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        return "holds control characters"
    return None


def rename_labels(
    names: list[str], class_names: Mapping[str, str] | Sequence[str] | None, limits: Limits
) -> list[str]:
    """`names` as `class_names` calls them, in the same order. Raises unless all are covered."""
    if class_names is None:
        return names
    given = (
        {str(key): value for key, value in class_names.items()}
        if isinstance(class_names, Mapping)
        else {str(i): value for i, value in enumerate(class_names)}
    )
    faults = _faults_of(given, limits)
    faults += [
        FieldError("/meta/class_names", "label_unnamed", f"label {printable(name)} has no name")
        for name in names
        if name not in given
    ]
    if faults:
        detail = f"class_names cannot be used: {faults[0].message}"
        raise DatasetUnreadable(
            detail, code="class_names_invalid", field_errors=faults[:MAX_ERRORS]
        )
    return [normalize_label(given[name]) for name in names]


def _faults_of(given: dict[str, str], limits: Limits) -> list[FieldError]:
    faults = []
    first: dict[str, str] = {}
    for key, name in given.items():
        pointer = f"/meta/class_names/{printable(key).replace('~', '~0').replace('/', '~1')}"
        problem = (
            label_problem(normalize_label(name), limits) if isinstance(name, str) else "is not text"
        )
        if problem:
            faults.append(
                FieldError(
                    pointer, "label_invalid", f"the name of label {printable(key)} {problem}"
                )
            )
        elif first.setdefault(normalize_label(name), key) != key:
            message = f"labels {printable(first[normalize_label(name)])} and {printable(key)} have the same name"
            faults.append(FieldError(pointer, "label_duplicate", message))
    return faults


def _sort_key(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if _INTEGER.fullmatch(name) else (1, 0, name)

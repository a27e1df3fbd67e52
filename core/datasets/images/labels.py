"""Label names: cleaned, counted, put in order, renamed."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from core.datasets.faults import MOST, pointer_to, shown, unreadable
from core.errors import Fault, UnreadableDataset
from core.settings import Limits

UNLABELLED = -1

_INTEGER = re.compile(r"-?[0-9]{1,300}")


class Labels:
    """The labels of a set, each with a code in the order in which they first came up."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._codes: dict[str, int] = {}  # by the name as it was written
        self._names: dict[str, int] = {}  # by the clean name
        self._stripped: set[str] = set()

    def code(self, written: str, *, where: str) -> int:
        """`where` is the file or row that is named when the label cannot be used."""
        code = self._codes.get(written)
        return self._add(written, where) if code is None else code

    def _add(self, written: str, where: str) -> int:
        name = clean(written)
        if problem := problem_of(name, self._limits):
            message = f"the label {shown(name)!r} {problem}"
            raise unreadable("label_invalid", message, pointer=pointer_to(where))
        if name != unicodedata.normalize("NFC", written):
            self._stripped.add(name)
        code = self._names.setdefault(name, len(self._names))
        if len(self._names) > self._limits.classes_max:
            message = f"there are more than {self._limits.classes_max:,} labels"
            raise unreadable("too_many_labels", message, pointer=pointer_to(where))
        if len(self._codes) < 2 * self._limits.classes_max:
            self._codes[written] = code
        return code

    def in_order(self) -> list[str]:
        return sorted(self._names, key=_sort_key)

    def places(self) -> NDArray[np.int32]:
        """The place in `in_order` of each code, with UNLABELLED last, where index -1 finds it."""
        places = np.full(len(self._names) + 1, UNLABELLED, np.int32)
        for place, name in enumerate(self.in_order()):
            places[self._names[name]] = place
        return places

    def notes(self) -> list[str]:
        if not self._stripped:
            return []
        examples = ", ".join(sorted(shown(name) for name in self._stripped)[:5])
        return [f"Blanks around {len(self._stripped)} labels were stripped: {examples}."]


def clean(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def problem_of(name: str, limits: Limits) -> str | None:
    """Why this cannot be a label, as the end of a sentence."""
    if not name:
        return "is empty"
    if len(name) > limits.label_chars:
        return f"has {len(name):,} characters; at most {limits.label_chars} are allowed"
    if any(unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} for c in name):
        return "holds control characters"
    return None


def renamed(
    names: list[str], label_names: Mapping[str, str] | Sequence[str] | None, limits: Limits
) -> list[str]:
    """`names` as `label_names` calls them, in the same order. Raises unless all are covered."""
    if label_names is None:
        return names
    given = (
        {str(key): value for key, value in label_names.items()}
        if isinstance(label_names, Mapping)
        else {str(i): value for i, value in enumerate(label_names)}
    )
    faults = _faults_of(given, limits)
    faults += [
        Fault("/meta/label_names", "label_unnamed", f"label {shown(name)} has no name")
        for name in names
        if name not in given
    ]
    if faults:
        detail = f"label_names cannot be used: {faults[0].message}"
        raise UnreadableDataset(detail, code="label_names_invalid", faults=faults[:MOST])
    return [clean(given[name]) for name in names]


def _faults_of(given: dict[str, str], limits: Limits) -> list[Fault]:
    faults = []
    first: dict[str, str] = {}
    for key, name in given.items():
        pointer = f"/meta/label_names/{shown(key).replace('~', '~0').replace('/', '~1')}"
        problem = problem_of(clean(name), limits) if isinstance(name, str) else "is not text"
        if problem:
            faults.append(
                Fault(pointer, "label_invalid", f"the name of label {shown(key)} {problem}")
            )
        elif first.setdefault(clean(name), key) != key:
            message = f"labels {shown(first[clean(name)])} and {shown(key)} have the same name"
            faults.append(Fault(pointer, "label_duplicate", message))
    return faults


def _sort_key(name: str) -> tuple[int, int, str]:
    return (0, int(name), name) if _INTEGER.fullmatch(name) else (1, 0, name)
